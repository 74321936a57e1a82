"""``qdm train --model NAME --help``: the flags, and each option that --set takes for this model."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

__all__ = ["ExplainsOptions"]

_TYPED = "qdm_qiskit.typed"
_NAMES = ("--model", "--preset")


class ExplainsOptions(TyperCommand):
    """A command whose help, beside --model or --preset, also explains every option of a run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the words: --help is answered before any other of them is read."""
        ctx.meta[_TYPED] = tuple(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the flags, then the options of the model or preset that was typed, if one was."""
        super().format_help(ctx, formatter)
        name = _named(ctx.meta.get(_TYPED, ()))
        if name is not None:
            from .models import print_options

            print_options(name)


def _named(words: tuple[str, ...]) -> str | None:
    """Return the preset that was typed, else the model, else None."""
    found: dict[str, str] = {}
    for word, after in zip(words, (*words[1:], ""), strict=True):
        flag, equals, value = word.partition("=")
        if flag in _NAMES:
            found[flag] = value if equals else after
    return found.get("--preset") or found.get("--model") or None
