"""Models from a hub, by ``user/name``: three files at one commit, held against its listing.

Nothing is opened but what the strict readers of a folder open, and a repository with a pickle in it
is refused. The account is huggingface_hub's own affair: no token passes through here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..data.download import cache_folder
from ..errors import (
    InvalidCheckpoint,
    InvalidOption,
    MissingData,
    MissingDependency,
    OutputNotWritable,
    QdmError,
    ServiceUnavailable,
)
from ..version import __version__
from .refit_record import FILE as REFIT_FILE
from .trained_run import PIPELINE_FILE

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = [
    "FILES",
    "check_repo",
    "download_model",
    "hub_api",
    "hub_failures",
    "is_repo",
    "quiet",
]

FILES = {
    "config.json": 2**26,
    PIPELINE_FILE: 2**26,
    "model.safetensors": 2**31,
}
"""Files of a model on a hub, and how many bytes each has at most."""
_OPTIONAL = {REFIT_FILE: 2**26}
_PICKLES = frozenset(
    {".bin", ".pt", ".pth", ".pt2", ".ckpt", ".pkl", ".pickle", ".dill", ".joblib", ".model"}
    | {".npy", ".npz", ".h5", ".keras"}
)
"""Ends of names of files that are pickles, or whose usual readers may unpickle or run something."""
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PLACE = "hub"
"""Folder in the cache."""


def is_repo(text: str | Path) -> bool:
    """Return True if a text names a repository of a hub, and no folder of this machine.

    It has one slash, nothing of its name is here, and no folder of its first part either: a run's
    mistyped folder stays one. A ``Path`` is never a repository.

    >>> is_repo("somebody/digits"), is_repo("./runs/digits"), is_repo(Path("somebody/digits"))
    (True, False, False)
    """
    if not isinstance(text, str) or not _REPO.fullmatch(text):
        return False
    return not Path(text).exists() and not Path(text).parent.exists()


def check_repo(repo: str) -> None:
    """Refuse a name that no repository has.

    Raises:
        InvalidOption: If it is not ``user/name``.
    """
    if not isinstance(repo, str) or not _REPO.fullmatch(repo):
        raise InvalidOption(
            f"A repository of a hub is 'user/name' in letters, digits, '-', '_' and '.', got "
            f"{str(repo)!r:.120}."
        )


def hub_api() -> HfApi:
    """Return huggingface_hub's client, which finds the account in its own ways.

    Raises:
        MissingDependency: If it is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MissingDependency(
            "Models on a hub need the package huggingface_hub; install it: "
            "pip install 'qdm_qiskit[hub]'."
        ) from error
    return HfApi(library_name="qdm_qiskit", library_version=__version__)


def download_model(repo: str, revision: str | None = None) -> Path:
    """Return the folder of a model from a hub, downloaded if this commit of it is not here yet.

    Args:
        repo: ``user/name``.
        revision: A branch, a tag or a commit; the main branch if None.

    Raises:
        InvalidOption: If the name is none.
        MissingData: If there is no such repository, revision or model in it.
        InvalidCheckpoint: If it holds a pickle, a file is larger than any of ours, or what arrives is
            not what the repository lists.
        ServiceUnavailable: If the hub refuses or does not answer.
        MissingDependency: If huggingface_hub is not installed.
        OutputNotWritable: If the cache cannot be written.
    """
    check_repo(repo)
    home = cache_folder() / _PLACE / repo
    if revision is not None and _COMMIT.fullmatch(revision) and (home / revision).is_dir():
        return home / revision
    api = hub_api()
    with hub_failures(repo, "downloaded"):
        info = api.model_info(repo, revision=revision, files_metadata=True)
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise InvalidCheckpoint(f"The hub names no commit of '{repo}', got {commit!r:.60}.")
    listed = _checked_listing(repo, info.siblings or [])
    place = home / commit
    if place.is_dir():
        return place
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=home) as part:
            stage = Path(part) / commit
            stage.mkdir()
            for name, entry in listed.items():
                with quiet(), hub_failures(repo, "downloaded"):
                    got = api.hf_hub_download(repo, name, revision=commit, local_dir=part)
                _check_content(repo, Path(got), entry)
                os.replace(got, stage / name)
            _move(stage, place)
    except OSError as error:
        if isinstance(error, QdmError):
            raise
        raise OutputNotWritable(
            f"Cannot write {home}: {error.strerror or error}. The cache is below $XDG_CACHE_HOME."
        ) from error
    return place


def _move(stage: Path, place: Path) -> None:
    """Move a complete folder to its place, unless another process was first."""
    try:
        os.replace(stage, place)
    except OSError:
        if not place.is_dir():
            raise
        shutil.rmtree(stage, ignore_errors=True)


def _checked_listing(repo: str, siblings: list[Any]) -> dict[str, Any]:
    """Return the entries of the files to download, from the repository's list of all its files."""
    entries = {str(each.rfilename): each for each in siblings}
    pickles = [name for name in entries if PurePosixPath(name).suffix.lower() in _PICKLES]
    if pickles:
        raise InvalidCheckpoint(
            f"'{repo}' holds {', '.join(sorted(pickles)[:3])}, which may be pickles and run code when "
            "opened; a model of this package is JSON and safetensors only, so it is refused."
        )
    missing = [name for name in FILES if name not in entries]
    if missing:
        raise MissingData(
            f"'{repo}' holds no model of this package: there is no {' and no '.join(missing)} in it."
        )
    most = {**FILES, **_OPTIONAL}
    wanted = {name: entries[name] for name in most if name in entries}
    for name, entry in wanted.items():
        if not isinstance(entry.size, int) or not 0 < entry.size <= most[name]:
            raise InvalidCheckpoint(
                f"{name} of '{repo}' has {entry.size} bytes; at most {most[name]} are read."
            )
    return wanted


def _check_content(repo: str, path: Path, entry: Any) -> None:
    """Refuse a file that is not the one that the repository lists, by length and hash."""
    content = path.read_bytes()
    lfs = entry.lfs or {}
    expected = lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)
    if expected is not None:
        found = hashlib.sha256(content).hexdigest()
    else:  # a file in git itself, whose name there is this hash
        expected = entry.blob_id
        found = hashlib.sha1(
            f"blob {len(content)}\0".encode() + content, usedforsecurity=False
        ).hexdigest()
    if len(content) != entry.size or found != expected:
        raise InvalidCheckpoint(
            f"{path.name} of '{repo}' is not the file that the hub lists: {len(content)} bytes of hash "
            f"{found[:12]}, expected {entry.size} of {str(expected)[:12]}; try again."
        )


@contextmanager
def hub_failures(repo: str, done: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line of ours, without its text: see decision 0073.

    Args:
        repo: The repository.
        done: What could not be done with it, as "downloaded".
    """
    try:
        yield
    except QdmError:
        raise
    except Exception as error:  # of this library and of the HTTP library below it
        raise _told(error, repo, done) from None


def _told(error: Exception, repo: str, done: str) -> QdmError:
    kinds = {each.__name__ for each in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", None)
    login = "`hf auth login`, or HF_TOKEN in the environment"
    if "GatedRepoError" in kinds:
        return MissingData(f"'{repo}' is for accounts that were granted access; log in by {login}.")
    if "RepositoryNotFoundError" in kinds:
        return MissingData(
            f"The hub shows no repository '{repo}' to this account; check the name, and log in by "
            f"{login} if it is private."
        )
    if "RevisionNotFoundError" in kinds:
        return MissingData(f"'{repo}' has no such revision; leave it out for the main branch.")
    if "OfflineModeIsEnabled" in kinds:
        return ServiceUnavailable(
            f"'{repo}' was not {done}: HF_HUB_OFFLINE is set; unset it, or give a commit that is here."
        )
    if status in (401, 403):
        return ServiceUnavailable(
            f"'{repo}' was not {done}: the hub refuses this account (HTTP {status}); log in by "
            f"{login}, with a token that may do this."
        )
    if "LocalTokenNotFoundError" in kinds:
        return ServiceUnavailable(
            f"'{repo}' was not {done}: there is no account; log in by {login}."
        )
    told = f"HTTP {status}" if status is not None else type(error).__name__
    return ServiceUnavailable(
        f"'{repo}' was not {done}: the hub does not answer ({told}); try again."
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's progress bars from standard error."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
