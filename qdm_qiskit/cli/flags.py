"""Flags of a command, added to messages that name arguments as Python callers know them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

__all__ = [
    "parser_message",
    "with_flags",
]

_BEFORE = (
    r"(?:^|[.;:(] |\b(?:or|lower|raise|give|set|leave|longer|shorter|different|another|takes|needs|"
    r"allow|in place of|than) )"
)
"""Words and signs before an argument's name that is meant as one; it may be an English word too."""


def with_flags(message: str, command: Any, arguments: Sequence[str]) -> str:
    """Return a message with the flags of the arguments that it names.

    Args:
        message: One line, as the library gives it: ``"lower shots or num_images."``
        command: The whole command line, a group of click commands.
        arguments: Words that were typed, without the program's name.

    Returns:
        The message, with ``(--shots, --num-images)`` at its end where the command that was typed has
        such options and the message does not show them already.
    """
    flags = []
    for parameter in _options(command, arguments):
        flag = max(parameter.opts, key=len)
        names = {parameter.name, *(opt.lstrip("-").replace("-", "_") for opt in parameter.opts)}
        named = flag != "--set" and any(  # `set` is a verb there: "set shots"
            re.search(rf"{_BEFORE}{re.escape(name)}\b(?!-)|\b{re.escape(name)}=", message)
            for name in names
        )
        if named and flag.startswith("--") and flag not in message:
            flags.append(flag)
    if not flags:
        return message
    return f"{message.rstrip()} ({', '.join(flags)})"


def parser_message(error: Any) -> str:
    """Return the parser's message, with the way out that it does not know.

    Args:
        error: An error of the parser: an unknown option, a missing value, a word too many.

    Returns:
        The message. Where an unknown option is like none of the command's flags and the command takes
        ``--set``, it says how options of a run are set.
    """
    message: str = error.format_message()
    typed, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if context is None:
        return message
    if typed is not None:
        flags = [opt for each in context.command.params for opt in each.opts]
        if "--set" in flags and not difflib.get_close_matches(
            typed, [*flags, "--help"], cutoff=0.7
        ):
            name = typed.lstrip("-").replace("-", "_")
            return f"No such option: {typed}; options of a run are set by --set {name}=VALUE"
    if "unexpected extra argument" in message:
        return f"{message}; `{context.command_path} --help` shows what it takes"
    return message


def _options(command: Any, arguments: Sequence[str]) -> list[Any]:
    """Return the options of the command that was typed."""
    for text in arguments:
        found = getattr(command, "commands", {}).get(text)
        if found is not None:
            command = found
    return [each for each in command.params if each.param_type_name == "option"]
