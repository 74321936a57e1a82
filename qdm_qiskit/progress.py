"""Progress: the one callback by which long work says how far it is.

A :data:`Progress` is any callable of one argument. It is called with a :class:`Message`, which is a
string, so whatever takes text can listen: ``print``, ``lines.append``, ``typer.echo``. A listener with
a bar reads :attr:`Message.done` and :attr:`Message.total` as well::

    train(config, run, progress=print)
    transpile_report(name, circuit, progress=lambda each: bar.update(each, each.done, each.total))

Work that gets none is :func:`silent`. An error that a listener raises stops the work and is not caught.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

__all__ = [
    "Message",
    "Progress",
    "silent",
]


class Message(str):
    """Words on what happens, with how far the work is where that can be counted.

    Args:
        text: Event, such as ``"transpiling"``.
        done: Steps that are done, where they are counted.
        total: Steps in all, where that is known.

    >>> Message("transpiling", 3, 10)
    'transpiling'
    >>> Message("transpiling", 3, 10).fraction
    0.3
    >>> Message("waiting in the queue").fraction is None
    True
    """

    done: int | None
    """Steps that are done; None where none are counted."""
    total: int | None
    """Steps in all; None where that is not known."""

    def __new__(cls, text: str, done: int | None = None, total: int | None = None) -> Self:
        """Make the text a message, with its counts."""
        message = super().__new__(cls, text)
        message.done, message.total = done, total
        return message

    @property
    def fraction(self) -> float | None:
        """Share of the work that is done, 0 to 1; None where it cannot be told."""
        if self.done is None or not self.total:
            return None
        return self.done / self.total


Progress = Callable[[Message], None]
"""Callback that takes a :class:`Message` whenever there is something to tell."""


def silent(message: Message) -> None:
    """Tell nobody."""
