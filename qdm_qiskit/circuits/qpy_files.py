"""QPY files that anybody may have written, read without harm to the machine.

QPY holds no pickles, but Qiskit reserves memory for as many parts as a file counts before it looks
how many are there: a damaged count may take all of a machine's. So a file that this user has neither
written nor read before is first read by a process of its own with little memory
(docs/decisions/0075-circuits-of-others.md).
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from qiskit import QuantumCircuit, qpy

from ..downloads import cache_folder
from ..errors import InvalidData, OutputNotWritable
from ..files import write_bytes

__all__ = ["MOST_BYTES", "circuits_from_qpy", "remember"]

MOST_BYTES = 2**31
"""Memory of the process that tries a file, besides :data:`BYTES_FOR_ONE`."""
BYTES_FOR_ONE = 64
"""Memory that it may take for a byte of the file: circuits in Python take some twenty."""
_TRIAL = """
import io, resource, sys
from qiskit import qpy
content = sys.stdin.buffer.read()
most = int(sys.argv[1]) + int(sys.argv[2]) * len(content)
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
try:
    qpy.load(io.BytesIO(content))
except MemoryError:
    sys.exit(3)
except Exception as error:
    print(" ".join(str(error).split())[:500] or type(error).__name__)
    sys.exit(4)
"""
_DAMAGED = 4


def circuits_from_qpy(content: bytes) -> list[QuantumCircuit]:
    """Read circuits.

    Args:
        content: A QPY file. It names classes of Qiskit to build, so its source is compared before.

    Raises:
        InvalidData: If reading it takes more memory than a file of its size needs, or Qiskit refuses
            it in the process that tries it.
        Exception: Whatever Qiskit raises for damage where the file was not tried, of no one kind.
    """
    if not _is_known(content):
        _try(content)
        remember(content)
    found: list[QuantumCircuit] = qpy.load(io.BytesIO(content))
    return found


def remember(content: bytes) -> None:
    """Note that a file does no harm: one that was read, or written here."""
    if not _is_known(content):
        with suppress(OutputNotWritable):  # then the next process tries it again
            write_bytes(_note(content), b"")


def _is_known(content: bytes) -> bool:
    try:
        return _note(content).is_file()
    except OSError:
        return False


def _note(content: bytes) -> Path:
    return cache_folder() / "circuits" / hashlib.sha256(content).hexdigest()


def _try(content: bytes) -> None:
    """Read a file in another process; return if it gives circuits there.

    What Qiskit refuses there is not read here: it has errors of its own for memory that it cannot get,
    and here it would get it.
    """
    # -P: no module of the current folder, which may be the sender's, is imported.
    words = [sys.executable, "-P", "-c", _TRIAL, str(MOST_BYTES), str(BYTES_FOR_ONE)]
    ended = subprocess.run(  # noqa: S603 (our own words)
        words, input=content, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    if ended.returncode == _DAMAGED:
        raise InvalidData(" ".join(ended.stdout.decode(errors="replace").split()))
    if ended.returncode:
        raise InvalidData(
            "reading it takes more memory than a file of its size needs, or ends the process"
        )
