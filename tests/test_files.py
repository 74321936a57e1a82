"""Files are whole or absent, and an unwritable place is one clean error."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qdm_qiskit.errors import InvalidData, OutputNotWritable
from qdm_qiskit.files import (
    check_writable,
    read_json_object,
    write_atomic,
    write_bytes,
    write_json,
    write_text,
    write_together,
)


def test_content_arrives(tmp_path):
    write_text(tmp_path / "new" / "folder" / "a.txt", "ä\n")
    write_bytes(tmp_path / "b.bin", b"\0\1")
    write_json(tmp_path / "c.json", {"b": 1, "a": [1.5, None]})
    assert (tmp_path / "new/folder/a.txt").read_bytes() == "ä\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\0\1"
    assert (tmp_path / "c.json").read_text().index('"a"') < (tmp_path / "c.json").read_text().index(
        '"b"'
    )
    assert read_json_object(tmp_path / "c.json") == {"a": [1.5, None], "b": 1}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("a bug")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(part: Path) -> None:
        part.write_text("half of the new")
        raise error

    with pytest.raises(OutputNotWritable if isinstance(error, OSError) else ValueError):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_writer_sees_the_files_suffix(tmp_path):
    seen = []
    write_atomic(tmp_path / "a.png", lambda part: seen.append(part.suffix))
    assert seen == [".png"]


def test_numbers_that_json_does_not_have_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["file/x", "file/deeper/x"])
def test_a_file_in_the_way_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("I am in the way")
    with pytest.raises(
        OutputNotWritable, match=r"^Cannot write .*Choose a folder with write permission"
    ) as caught:
        write_text(tmp_path / below, "content")
    assert "\n" not in str(caught.value)
    with pytest.raises(OutputNotWritable, match="a file stands where a folder is needed"):
        check_writable(tmp_path / below)
    assert (tmp_path / "file").read_text() == "I am in the way"


def test_a_folder_in_the_way_is_refused(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputNotWritable, match="Cannot write"):
        write_text(tmp_path / "a.txt", "content")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_names_that_no_filesystem_takes_are_refused(tmp_path):
    with pytest.raises(OutputNotWritable, match="Cannot write into"):
        check_writable(tmp_path / ("n" * 300) / "x")
    with pytest.raises(OutputNotWritable, match="Cannot write"):
        write_text(tmp_path / ("n" * 300), "content")


def test_checking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path)
    check_writable(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from qdm_qiskit.errors import OutputNotWritable
from qdm_qiskit.files import check_writable, write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
folder = Path(sys.argv[1])
for action in (lambda: write_text(folder / "a.txt", "x" * 100_000), lambda: check_writable(folder)):
    try:
        action()
    except OutputNotWritable as error:
        print(error)
"""


def test_a_full_disk_is_one_clean_error(tmp_path):
    # A limit on the file size fails a write in its middle, as a full disk does.
    (tmp_path / "a.txt").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert [line.split(" ", 2)[0] for line in lines] == ["Cannot", "Cannot"], done
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"3",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",  # Python refuses to read such integers
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=r"a\.json"):
        read_json_object(path)


def test_missing_json_is_refused(tmp_path):
    with pytest.raises(InvalidData, match="not a readable JSON file"):
        read_json_object(tmp_path / "a.json")
    with pytest.raises(InvalidData, match="not a readable JSON file"):
        read_json_object(tmp_path)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_files_respect_the_umask_and_old_ones_keep_their_permissions(tmp_path, umask, mode):
    old, new, secret = (tmp_path / name for name in ("old", "new", "secret"))
    old.write_text("before")
    old.chmod(0o640)
    before = os.umask(umask)
    try:
        write_text(old, "after")
        write_text(new, "new")
        write_bytes(secret, b"s", mode=0o600)
    finally:
        os.umask(before)
    found = [stat.S_IMODE(each.stat().st_mode) for each in (old, new, secret)]
    assert found == [0o640, mode, 0o600]


def test_written_json_is_json(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


def test_files_written_together_are_all_there_or_none_and_no_folder_either(tmp_path):
    old = tmp_path / "old.txt"
    old.write_text("before")
    in_the_way = tmp_path / "new" / "deep" / "b.txt"
    write_together({tmp_path / "a" / "x.txt": b"1", old: b"after"})
    assert old.read_text() == "after"
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputNotWritable):
        write_together({in_the_way: b"1", old: b"2", tmp_path / "file" / "c.txt": b"3"})
    assert sorted(tmp_path.rglob("*")) == before
    assert old.read_text() == "after"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


class Failing:
    """A function of `os` that fails at its nth call."""

    def __init__(self, real: Callable[..., object], at: int, error: BaseException) -> None:
        self.real, self.at, self.error = real, at, error
        self.calls = 0

    def __call__(self, *where: object, **more: object) -> object:
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return self.real(*where, **more)


@pytest.mark.parametrize("name", ["replace", "link", "fsync", "chmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_anywhere_leaves_all_files_as_they_were(tmp_path, monkeypatch, name, error):
    """Two old files and a new one in a new folder; each call that could fail does, in its turn."""
    contents = {
        tmp_path / "old.txt": b"new 1",
        tmp_path / "deep" / "new.txt": b"new 2",
        tmp_path / "other.txt": b"new 3",
    }
    real = getattr(os, name)
    for at in range(1, 50):
        monkeypatch.setattr(os, name, real)
        (tmp_path / "old.txt").write_bytes(b"old 1")
        (tmp_path / "other.txt").write_bytes(b"old 3")
        (tmp_path / "deep" / "new.txt").unlink(missing_ok=True)
        if (tmp_path / "deep").exists():
            (tmp_path / "deep").rmdir()
        before = tree(tmp_path)
        failing = Failing(real, at, error)
        monkeypatch.setattr(os, name, failing)
        try:
            write_together(contents)
        except (OutputNotWritable, KeyboardInterrupt):
            assert tree(tmp_path) == before, at
        else:
            # An `OSError` of `link` is a file system without hard links, and no failure.
            assert failing.calls < at or name == "link"
            assert tree(tmp_path) == {
                "deep": None,
                **{str(path.relative_to(tmp_path)): content for path, content in contents.items()},
            }
            if failing.calls < at:
                break
    assert at == {"replace": 7, "link": 3, "fsync": 4, "chmod": 4}[name]


def test_what_cannot_be_put_back_is_named(tmp_path, monkeypatch):
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_bytes(b"old")
    real, moves = os.replace, []

    def broken(source: Path, target: Path) -> None:
        if Path(source).name.startswith(".part-") and Path(target) == new:
            moves.append(target)
        if moves:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OutputNotWritable, match=r"old\.txt \(its old content is .*\.old-"):
        write_together({old: b"1", new: b"2"})
    [kept] = tmp_path.glob(".old-*")
    assert kept.read_bytes() == b"old"


@pytest.mark.parametrize("links", [True, False])
def test_written_together_over_links_and_folders(tmp_path, monkeypatch, links):
    if not links:  # as on a file system without them
        monkeypatch.setattr(os, "link", Failing(os.link, 1, OSError(1, "Operation not permitted")))
    real, link, folder = tmp_path / "real.txt", tmp_path / "link.txt", tmp_path / "folder"
    real.write_bytes(b"real")
    link.symlink_to(real)
    write_together({link: b"1"})
    assert (link.is_symlink(), link.read_bytes(), real.read_bytes()) == (False, b"1", b"real")
    folder.mkdir()
    with pytest.raises(OutputNotWritable, match="folder"):
        write_together({real: b"2", folder: b"3"})
    assert tree(tmp_path) == {"real.txt": b"real", "link.txt": b"1", "folder": None}
