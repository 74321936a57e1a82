"""What the check of a release refuses, on archives made by hand; `make release-check` does it all."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.helpers import ROOT, load_script

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="what belongs to a release is what git knows"
)

CHECK = load_script(ROOT / ".ci" / "release_check.py")


def archives(folder: Path, **changes: bytes | None) -> tuple[Path, Path, Path]:
    """Wheel, sdist and the wheel of the sdist as they should be, but for changes of the wheel."""
    content = {name: (ROOT / name).read_bytes() for name in CHECK.package_files()}
    for key, value in changes.items():
        name = f"qdm_qiskit/{key}.py"
        content.pop(name, None)
        if value is not None:
            content[name] = value
    wheel, rebuilt, sdist = (folder / each for each in ("a.whl", "b.whl", "c.tar.gz"))
    for path in (wheel, rebuilt):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
            archive.writestr("qdm_qiskit-1.dist-info/METADATA", "")
    with tarfile.open(sdist, "w:gz") as archive:
        for name in ("pyproject.toml", "README.md", "LICENSE", *CHECK.package_files()):
            data = (ROOT / name).read_bytes()
            info = tarfile.TarInfo(f"qdm_qiskit-1/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return wheel, sdist, rebuilt


def test_good_archives_pass(tmp_path):
    CHECK.check_archives(*archives(tmp_path))
    assert "qdm_qiskit/py.typed" in CHECK.package_files()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": None}, "differ in qdm_qiskit/version.py"),
        ({"secret": b"x = 1\n"}, "differ in qdm_qiskit/secret.py"),
        ({"version": b"x = 1\n"}, "holds another content of qdm_qiskit/version.py"),
    ],
)
def test_a_wheel_with_too_little_too_much_or_something_else_is_refused(tmp_path, changes, words):
    with pytest.raises(SystemExit, match=words):
        CHECK.check_archives(*archives(tmp_path, **changes))


def test_a_wheel_that_the_sdist_does_not_build_is_refused(tmp_path):
    wheel, sdist, rebuilt = archives(tmp_path)
    with zipfile.ZipFile(rebuilt, "a") as archive:
        archive.writestr("qdm_qiskit/more.py", "")
    with pytest.raises(SystemExit, match="does not build the wheel"):
        CHECK.check_archives(wheel, sdist, rebuilt)


def test_a_command_that_fails_ends_the_check_with_its_last_lines(tmp_path):
    with pytest.raises(SystemExit, match="of the test failed with 3:\nwhy"):
        CHECK.run(
            sys.executable,
            "-c",
            "import sys; print('why'); sys.exit(3)",
            cwd=tmp_path,
            label="command of the test",
        )
