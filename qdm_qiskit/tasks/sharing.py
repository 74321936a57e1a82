"""Share a trained run: its card, its model on a hub, and back."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..arguments import checked_path
from ..data.places import NPZ
from ..errors import InvalidData, InvalidOption, MissingData, OutputNotWritable
from ..files import check_writable, read_json_object, write_bytes, write_json, write_text
from ..notebook import one_line
from ..progress import Message, Progress, silent
from ..sampling import QDMPipeline, TrainedRun, load_run
from ..sampling.hub import FILES, check_repo, download_model, hub_api, hub_failures, quiet
from ..sampling.loader_names import network_files
from ..sampling.refit_record import FILE as REFIT_FILE
from .exporting import EXPORT_FILE
from .exporting import SCHEMA as EXPORT_SCHEMA

__all__ = ["CARD", "Shared", "pull", "push_to_hub", "write_card"]

CARD = "README.md"
"""Name of the card, in a run's folder and on a hub."""
CIRCUITS = "circuits"
"""Folder of exported circuits on a hub."""
PICTURE = "samples.png"


@dataclass(frozen=True, repr=False)
class Shared:
    """Result of :func:`push_to_hub`."""

    repo: str
    files: tuple[str, ...]
    """Names of all files, as they stand in the repository."""
    commit: str | None
    """The commit; None if nothing was sent."""
    url: str | None
    """Where it can be looked at; None if nothing was sent."""

    def __repr__(self) -> str:
        state = f"commit {self.commit[:8]}" if self.commit else "not sent"
        return one_line("Shared", self.repo, f"{len(self.files)} files", state)


def write_card(
    run: str | Path, out: str | Path | None = None, *, license_name: str | None = None
) -> Path:
    """Write the card of a run; see ``qdm_qiskit.reports.model_card``.

    Args:
        run: Folder of a trained run.
        out: The file; ``README.md`` in the run's folder if None. An older card is replaced, no
            other file is.
        license_name: Identifier of the licence of the weights, as ``apache-2.0``.

    Returns:
        The file.

    Raises:
        MissingData, InvalidCheckpoint, InvalidData: If the run cannot be read.
        InvalidOption: If the licence is no identifier.
        OutputNotWritable: If the file cannot be written, or is there and no card.
    """
    from ..reports.model_card import is_card, model_card

    folder = checked_path(run, "run")
    path = folder / CARD if out is None else checked_path(out, "out")
    if path.is_file() and not is_card(path):
        raise OutputNotWritable(
            f"{path} holds no card of a run, and is not overwritten; choose another file by out."
        )
    write_text(path, model_card(folder, license_name=license_name))
    return path


def push_to_hub(
    run: str | Path,
    repo: str,
    *,
    private: bool = False,
    license_name: str | None = None,
    card: str | Path | None = None,
    message: str = "Upload a model of qdm_qiskit",
    dry_run: bool = False,
    progress: Progress = silent,
) -> Shared:
    """Upload the model of a run to a hub, with its card; the repository is made if there is none.

    The account is what huggingface_hub finds in its own ways. Uploaded are the model, its process
    and its configuration without this machine's paths, the card, the last picture of samples, and
    the circuits that ``export`` left in the run's folder, if they are of these weights.
    ``QDMPipeline.from_pretrained(repo)`` reads it again.

    Args:
        run: Folder of a trained run.
        repo: ``user/name``.
        private: True to make a repository that only its owners see; one that is there stays as it is.
        license_name: Identifier of the licence of the weights, as ``apache-2.0``.
        card: A card of one's own; by default it is generated.
        message: Message of the commit.
        dry_run: True to check all of it, and send nothing.
        progress: Receives what is done.

    Returns:
        The repository, its files and the commit.

    Raises:
        MissingData, InvalidCheckpoint, InvalidData: If the run cannot be read.
        InvalidOption: If the name is none, or the model's loader has files of its own.
        ServiceUnavailable, MissingDependency: If the hub cannot be asked.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     qdm.push_to_hub(run, "somebody/first", dry_run=True).files
    ('README.md', 'config.json', 'model.safetensors', 'pipeline.json')
    """
    check_repo(repo)
    folder = checked_path(run, "run")
    trained = load_run(folder)
    if not message.strip():
        raise InvalidOption("A commit has a message, got none.")
    with tempfile.TemporaryDirectory(prefix="qdm-push-") as part:
        stage = Path(part)
        files = _staged(folder, trained, stage, repo, license_name, card)
        if dry_run:
            return Shared(repo, files, None, None)
        api = hub_api()
        with quiet(), hub_failures(repo, "uploaded"):
            progress(Message(f"making sure that {repo} is there"))
            api.create_repo(repo, private=private, exist_ok=True)
            progress(Message(f"uploading {len(files)} files"))
            done = api.upload_folder(
                repo_id=repo,
                folder_path=stage,
                commit_message=message,
                # Of an older push: circuits of other weights would stand beside this model.
                delete_patterns=[f"{CIRCUITS}/*", PICTURE, REFIT_FILE],
            )
        return Shared(repo, files, str(done.oid), str(done.commit_url))


def pull(repo: str, out: str | Path, *, revision: str | None = None) -> Path:
    """Download a model from a hub into a folder that every command takes as a run.

    Args:
        repo: ``user/name``.
        out: The folder; it is made, or empty.
        revision: Branch, tag or commit; the main branch if None.

    Returns:
        The folder.

    Raises:
        MissingData, InvalidCheckpoint, InvalidData: If there is no model of ours in the repository.
        InvalidOption: If the name is none.
        ServiceUnavailable, MissingDependency: If the hub cannot be asked.
        OutputNotWritable: If the folder holds something, or cannot be written.
    """
    folder = checked_path(out, "out")
    check_repo(repo)
    check_writable(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputNotWritable(f"{folder} holds files already; choose another folder.")
    place = download_model(repo, revision)
    load_run(place)  # refused before anything is written
    for name in (*FILES, REFIT_FILE):
        if (place / name).is_file():
            write_bytes(folder / name, (place / name).read_bytes())
    return folder


def _staged(
    folder: Path,
    trained: TrainedRun,
    stage: Path,
    repo: str,
    license_name: str | None,
    card: str | Path | None,
) -> tuple[str, ...]:
    """Write all that is uploaded into a folder; return the names."""
    from ..reports.model_card import model_card

    if network_files(getattr(trained.model.config, "loader", None)):
        raise InvalidOption(
            "The loader of this model has fitted numbers in a file of its own, and only JSON and "
            "safetensors are shared; save the run with another loader and push that, as in "
            "QDMPipeline(run.with_loader('bricks:8')).save_pretrained(folder)."
        )
    QDMPipeline(_without_paths(trained)).save_pretrained(stage)
    if trained.refit is not None:
        write_json(stage / REFIT_FILE, trained.refit)
    picture = _last_picture(folder)
    if picture is not None:
        shutil.copyfile(picture, stage / PICTURE)
    for name, content in _circuits(folder, trained).items():
        write_bytes(stage / CIRCUITS / name, content)
    if card is None:
        shown = PICTURE if picture is not None else None
        text = model_card(folder, repo=repo, license_name=license_name, picture=shown)
    elif license_name is not None:
        raise InvalidOption("A card of one's own names its licence itself; leave license_name out.")
    else:
        text = _own_card(checked_path(card, "card"))
    write_text(stage / CARD, text)
    paths = sorted(each for each in stage.rglob("*") if each.is_file())
    return tuple(str(each.relative_to(stage)) for each in paths)


def _own_card(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MissingData(f"The card {path} cannot be read as text: {error}.") from error


def _without_paths(trained: TrainedRun) -> TrainedRun:
    """Return the run with the names of its data's files only, not their places on this machine."""
    data, record = trained.config.data, trained.config.record
    dataset = data.dataset
    if dataset.startswith(NPZ):
        dataset = f"{NPZ}{Path(dataset.removeprefix(NPZ)).name}"
    if record is not None:
        files = tuple(replace(each, path=Path(each.path).name) for each in record.files)
        record = replace(record, files=files)
    data = replace(data, dataset=dataset, folder=None)
    return replace(trained, config=replace(trained.config, data=data, record=record))


def _last_picture(folder: Path) -> Path | None:
    """Return the newest grid of samples that training has drawn."""
    found = sorted((folder / "samples").glob("*.png"))
    return found[-1] if found else None


def _circuits(folder: Path, trained: TrainedRun) -> Mapping[str, bytes]:
    """Return the files of an export that is of these weights; none if there is no such export.

    Raises:
        InvalidData: If a file of it was changed or is missing.
    """
    place = folder / "export"
    if not (place / EXPORT_FILE).is_file():
        return {}
    record: dict[str, Any] = read_json_object(place / EXPORT_FILE)
    if record.get("schema") != EXPORT_SCHEMA:
        raise InvalidData(f"{place / EXPORT_FILE} is not of schema '{EXPORT_SCHEMA}'.")
    if record.get("weights_sha256") != trained.weights_sha256:
        return {}
    hashes = record.get("sha256")
    if not isinstance(hashes, dict):
        raise InvalidData(f"{place / EXPORT_FILE} lists no files; export again.")
    contents = {EXPORT_FILE: (place / EXPORT_FILE).read_bytes()}
    for name, digest in hashes.items():
        path = place / Path(name).name
        content = path.read_bytes() if path.is_file() else b""
        if Path(name).name != name or hashlib.sha256(content).hexdigest() != digest:
            raise InvalidData(f"{place / name} was changed since it was exported; export again.")
        contents[name] = content
    return contents
