"""A folder in which nothing can be written, also for tests that run as root."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def read_only_copy(folder: Path) -> Iterator[Path]:
    """A copy of a folder without any permission to write, seen by a user who has no other rights.

    Whoever runs the tests as root would write all the same; so the effective user is changed, as
    ``su`` does. What is imported must have been imported before, and the copy lies directly in the
    system's folder for temporary files, since pytest's own is closed to other users.
    """
    outer = Path(tempfile.mkdtemp(prefix="qdm-read-only-"))
    copy = outer / folder.name
    shutil.copytree(folder, copy)
    for each in (outer, *outer.rglob("*")):
        each.chmod(0o555 if each.is_dir() else 0o444)
    am_root = os.geteuid() == 0
    try:
        if am_root:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        yield copy
    finally:
        if am_root:
            os.seteuid(0)
            os.setegid(0)
        for each in (outer, *outer.rglob("*")):
            each.chmod(0o755)
        shutil.rmtree(outer)
