"""The `qdm` command in this process, and folders that can be compared before and after."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import QDM


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Qdm = Callable[..., Result]


@pytest.fixture
def qdm(capsys: pytest.CaptureFixture[str]) -> Qdm:
    """Run `qdm` with the given arguments, as its entry point does."""
    from qdm_qiskit.cli.main import main

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(each) for each in arguments])
        out, err = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return Result(code, out, err)

    return run


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, str]]:
    """Every path below a folder, with the hash of its content."""

    def take(folder: Path) -> dict[str, str]:
        return {
            str(each.relative_to(folder)): (
                hashlib.sha256(each.read_bytes()).hexdigest() if each.is_file() else "folder"
            )
            for each in sorted(folder.rglob("*"))
        }

    return take


TINY = [
    part
    for option in (
        "image_size=2",
        "depth=1",
        "train_count=12",
        "test_count=5",
        "batch_size=4",
        "num_steps=2",
        "sample_every=0",
    )
    for part in ("--set", option)
]
"""Three steps an epoch, of milliseconds."""


@pytest.fixture(scope="session")
def command() -> str:
    return QDM


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    return TINY


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    command = [QDM, "train", "--model", "eeqdm", *TINY, "--epochs", "2", "--quiet"]
    subprocess.run([*command, "--out", str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def save_images(tmp_path_factory: pytest.TempPathFactory) -> Callable[[np.ndarray], Path]:
    def save(images: np.ndarray) -> Path:
        path = tmp_path_factory.mktemp("images") / "images.npz"
        np.savez(path, images=images)
        return path

    return save
