"""A file of options: YAML with a model or preset and any of its options, for ``qdm train --config``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ..errors import InvalidData

__all__ = [
    "read_options",
]

MOST_BYTES = 2**16
"""Most bytes of a file: all options take some four thousand."""


def read_options(path: Path) -> dict[str, Any]:
    """Return the options of a YAML file by name; JSON is YAML too.

    Args:
        path: A mapping of names to numbers, text, truth values, nothing, or lists of these. ``model``
            or ``preset`` is a name among them.

    Raises:
        InvalidData: If the file is missing, too large, no such YAML, or names an option twice.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.yaml")
    ...     _ = path.write_text("model: eeqdm\\ndepth: 2\\nclasses: [3, 7]\\n")
    ...     read_options(path)
    {'model': 'eeqdm', 'depth': 2, 'classes': [3, 7]}
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except RecursionError:
        raise InvalidData(
            f"{path} is no readable file of options: it is nested too deeply."
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise InvalidData(f"{path} is no readable file of options: {reason}.") from error
    if not isinstance(content, dict):
        raise InvalidData(
            f"{path} must hold lines such as 'depth: 10', got {type(content).__name__}."
        )
    assert isinstance(tree, yaml.MappingNode)
    names = [str(key.value) for key, _ in tree.value]
    for name, value in content.items():
        if not isinstance(name, str):
            raise InvalidData(f"{path}: {name!r} is no name of an option.")
        if names.count(name) > 1:
            raise InvalidData(f"{path} sets '{name}' twice.")
        for part in value if isinstance(value, list) else [value]:
            if not (part is None or isinstance(part, bool | int | float | str)):
                raise InvalidData(
                    f"{path}: '{name}' is a number, text, true or false, nothing, or a list of these; "
                    f"got {type(part).__name__}."
                )
    return content
