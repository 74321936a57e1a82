"""Imports of a command, all at once."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["few_collections"]


@contextmanager
def few_collections() -> Iterator[None]:
    """Import without Python's garbage collector, which would look through all that came before.

    torch and Qiskit make a million objects that stay until the process ends. Looking through them
    again and again takes a fifth of their import; afterwards they are frozen, so that nobody looks
    any more. Where they are imported already, nothing is changed.
    """
    if "qiskit" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
