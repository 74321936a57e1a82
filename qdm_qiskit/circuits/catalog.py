"""The templates by name, each with the options of a small example that the gallery draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ..errors import InvalidTemplate, unknown_name
from .image_denoisers import eeqdm, qddm
from .spec import CircuitSpec

Group = Literal["encoding", "block", "ansatz", "denoiser"]
"""What a template is for: data into states, a part of larger circuits, a trainable circuit, or a
whole denoising step of a paper."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """A function that builds a spec, its options, and where it comes from."""

    name: str
    """Name in the catalogue and of the files that show it."""
    build: Callable[..., CircuitSpec]
    """Takes every name in :attr:`options` as a keyword."""
    options: Mapping[str, object] = field(hash=False)
    """Every option with the value that the small example takes."""
    group: Group
    """What it is for."""
    source: str
    """Paper, section or equation."""
    summary: str
    """One line on what the circuit does."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def example(self) -> CircuitSpec:
        """The spec with the example's options: small enough for a drawing."""
        return self.build(**self.options)

    def with_options(self, **changes: object) -> CircuitSpec:
        """The spec with some of the example's options changed.

        Args:
            **changes: Options by name.

        Returns:
            The spec.

        Raises:
            InvalidTemplate: If an option is unknown, or the template refuses a value.
        """
        for name in changes:
            if name not in self.options:
                kind = f"option of template '{self.name}' called"
                raise InvalidTemplate(str(unknown_name(kind, name, self.options)))
        return self.build(**{**self.options, **changes})


def _by_name(*templates: Template) -> Mapping[str, Template]:
    return MappingProxyType({each.name: each for each in templates})


TEMPLATES: Mapping[str, Template] = _by_name(
    Template(
        name="eeqdm",
        build=eeqdm,
        options={"num_data": 4, "depth": 2, "guided": False},
        group="denoiser",
        source="Shah and Vatsa, arXiv:2411.15973, section 3.1",
        summary="Bell stage on the data, then layers on half the register and the ancilla.",
    ),
    Template(
        name="qddm",
        build=qddm,
        options={"num_data": 4, "depth": 2, "guided": False},
        group="denoiser",
        source="Kölle et al., arXiv:2401.07049, section 4",
        summary="Strongly entangling layers on all data wires and the ancilla.",
    ),
)
"""All templates, by name."""


def template(name: str) -> Callable[..., CircuitSpec]:
    """The function that builds the template of this name.

    Raises:
        UnknownName: If there is none; the message lists what exists.
    """
    if name not in TEMPLATES:
        raise unknown_name("template", name, TEMPLATES)
    return TEMPLATES[name].build
