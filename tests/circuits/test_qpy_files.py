"""Circuits that others wrote are tried by another process first."""

from __future__ import annotations

import io
import subprocess

import pytest
from qiskit import QuantumCircuit, qpy

from qdm_qiskit.circuits import qpy_files
from qdm_qiskit.circuits.qpy_files import circuits_from_qpy, remember
from qdm_qiskit.errors import InvalidData


@pytest.fixture
def tried(monkeypatch, tmp_path) -> list[int]:
    """Exit codes of processes that tried a file; notes are kept in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    codes, run = [], subprocess.run

    def counted(*words, **more):
        ended = run(*words, **more)
        codes.append(ended.returncode)
        return ended

    monkeypatch.setattr(qpy_files.subprocess, "run", counted)
    return codes


def content_of(*circuits: QuantumCircuit) -> bytes:
    buffer = io.BytesIO()
    qpy.dump(circuits, buffer)
    return buffer.getvalue()


@pytest.fixture
def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def test_a_file_is_tried_once(tried, bell):
    content = content_of(bell)
    for _ in range(2):
        assert circuits_from_qpy(content) == [bell]
    assert tried == [0]


def test_what_was_written_here_is_not_tried(tried, bell):
    content = content_of(bell)
    remember(content)
    assert circuits_from_qpy(content) == [bell]
    assert tried == []


def test_a_file_that_takes_too_much_memory_is_refused(tried, bell, monkeypatch):
    """The limit is set so low that Qiskit's own start meets it."""
    monkeypatch.setattr(qpy_files, "MOST_BYTES", 0)
    monkeypatch.setattr(qpy_files, "BYTES_FOR_ONE", 0)
    with pytest.raises(InvalidData, match="takes more memory than a file of its size needs"):
        circuits_from_qpy(content_of(*[bell] * 2000))
    assert tried
    assert tried[0] != 0
    monkeypatch.undo()


def test_damage_is_told_in_qiskits_words_and_not_read_here(tried, bell, monkeypatch):
    """Qiskit has errors of its own for memory that it cannot get; here it would get it."""
    content = content_of(bell)[:-20]
    with pytest.raises(Exception) as caught:  # noqa: PT011 (of no one kind)
        qpy.load(io.BytesIO(content))
    monkeypatch.setattr(qpy_files.qpy, "load", lambda file: pytest.fail("read here"))
    with pytest.raises(InvalidData) as refused:
        circuits_from_qpy(content)
    assert str(refused.value) == " ".join(str(caught.value).split())[:500]
    assert tried == [4]


def test_a_home_that_cannot_be_written_is_no_error(tried, bell, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert circuits_from_qpy(content_of(bell)) == [bell]
    assert tried == [0, 0]
