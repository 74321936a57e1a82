"""Names of reports, which are names of their files too."""

from __future__ import annotations

import re

from ..arguments import checked_text
from ..errors import InvalidOption

__all__ = ["check_report_name", "report_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_report_name(name: object) -> None:
    """Refuse what cannot be a report's name.

    Raises:
        InvalidArgument: If it is no text.
        InvalidOption: If it has other characters, or begins with no letter or digit.
    """
    if not _NAME.fullmatch(checked_text(name, "name")):
        raise InvalidOption(
            "A report's name has letters, digits, '.', '_' and '-' only, and begins with a letter "
            f"or digit, got {name!r}."
        )


def report_name(text: str) -> str:
    """Return the name of a report on something that is called so: a folder, or a circuit.

    >>> report_name("eeqdm_depth2"), report_name("mein Lauf (2)"), report_name("\\u706b")
    ('eeqdm_depth2', 'mein-Lauf-2-', 'report')
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-") or "report"
