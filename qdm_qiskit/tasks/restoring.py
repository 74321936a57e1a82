"""Restore what is hidden of images or rows with a trained run, beside the trivial competitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..archives import Headers, read_arrays
from ..arguments import checked_path, whole_number
from ..data import RowFormat, Split, grid_png
from ..data.gaps import read_gaps
from ..data.known import Known, mask_of
from ..data.npz import read_npz
from ..errors import InvalidData, InvalidOption, MissingData, OutputNotWritable
from ..evaluation.fills import fills, gaussian_draws
from ..evaluation.restored import Fill, column_errors, fill_table
from ..execution.devices import DeviceLike
from ..execution.targets import target_text
from ..files import check_writable, write_atomic, write_json, write_text
from ..notebook import card, one_line, picture, table
from ..options import build
from ..progress import Message, Progress, silent
from ..sampling import SamplingConfig, TrainedRun, load_run
from ..sampling.restoring import restore_images
from ..training import load_split

__all__ = ["OWN", "SCHEMA", "Restoration", "mask_from_file", "restore"]

SCHEMA = "qdm-restoration/1"
OWN = "run"
"""Name of the run in the table of errors."""
MOST_SHOWN = 32
"""Images that a notebook shows."""


@dataclass(frozen=True, eq=False, repr=False)
class Restoration:
    """Restored images, and how far each way of restoring is from the truth; see :func:`restore`."""

    draws: np.ndarray
    """``(draws, count, channels, height, width)`` in [0, 1]: the run's."""
    known: Known
    truth: np.ndarray | None
    """``(count, channels, height, width)``; None of images of which nobody knows the rest."""
    others: dict[str, np.ndarray]
    """Name of each competitor to its images, ``(count, channels, height, width)``."""
    errors: dict[str, Fill]
    """Name to errors, the run's first; empty without the truth."""
    columns: dict[str, dict[str, dict[str, float]]]
    """Of rows with the truth: name to the errors of hidden columns."""
    rows: RowFormat | None
    manifest: dict[str, Any]

    def table(self) -> str:
        """Return the restored rows as text of a CSV file, the first draw of each.

        Raises:
            InvalidOption: If the images are no rows.
        """
        if self.rows is None:
            raise InvalidOption("The run's data are images and no rows, so there is no table.")
        return self.rows.csv(self.draws[0])

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """Write ``restored.npz``, ``restoration.json`` and, of rows, ``restored.csv``.

        Raises:
            OutputNotWritable: If the folder cannot be written.
        """
        place = checked_path(folder, "folder")
        _check_output(place)
        arrays = {"draws": self.draws.astype(np.float32), "known": self.known.images}
        if self.known.mask is not None:
            arrays["mask"] = self.known.mask
        if self.truth is not None:
            arrays["truth"] = self.truth.astype(np.float32)
        # numpy's annotations take a keyword for its option `allow_pickle`.
        write_atomic(
            place / "restored.npz",
            lambda part: np.savez_compressed(part, **arrays),  # type: ignore[arg-type]
        )
        written = [place / "restored.npz"]
        if self.rows is not None:
            write_text(place / "restored.csv", self.table())
            written.append(place / "restored.csv")
        write_json(place / "restoration.json", self.to_dict())
        return (*written, place / "restoration.json")

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with the schema's name."""
        return {
            "schema": SCHEMA,
            "errors": {name: asdict(each) for name, each in self.errors.items()},
            "columns": self.columns,
            "manifest": self.manifest,
        }

    def __repr__(self) -> str:
        draws, count = self.draws.shape[:2]
        own = f"mse {self.errors[OWN].mse.estimate:.4g}" if self.errors else "truth unknown"
        return one_line("Restoration", f"{count} images", f"{draws} draws", own)

    def _repr_html_(self) -> str:
        draws, count = self.draws.shape[:2]
        first = self.draws[0, :MOST_SHOWN]
        parts = [picture(grid_png(first), f"the first draw of {len(first)} images")]
        if self.errors:
            rows = [(name, each.mse.estimate) for name, each in self.errors.items()]
            parts.append(table(("", "mean squared error"), rows))
        return card("Restoration", *parts, about=f"{count} images, {draws} draws")


def restore(
    run: str | Path | TrainedRun,
    target: str | DeviceLike = "engine",
    *,
    mask: str | np.ndarray | None = None,
    factor: int | None = None,
    images: str | Path | np.ndarray | None = None,
    labels: Sequence[int] | np.ndarray | None = None,
    table: str | Path | None = None,
    count: int = 16,
    draws: int = 8,
    resamples: int = 1,
    candidates: int | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Restoration:
    """Restore what is hidden: inpainting, imputation of rows, super-resolution.

    Args:
        run: Folder of a run, or the result of ``load_run``.
        target: Where circuits run, as for ``sample``.
        mask: Hide pixels: ``left``, ``right``, ``top``, ``bottom``, ``centre``, ``random:0.5``, of rows
            ``columns:a,b``; an ``.npz`` file with a bool array ``mask``; or the array, of the images'
            shape. True is known.
        factor: Hide all but the means of blocks of so many pixels a side, in place of a mask; of images
            and of rows on a grid, such as spins.
        images: An ``.npz`` file of images, or an array ``(count, channels, height, width)``; the run's
            own test images if None. In an array NaN is a hidden pixel, in the place of a mask.
        labels: Their labels, which a guided model is told; those of the file or the test images if
            None.
        table: A CSV file of the columns of the run's rows with missing values, in place of all above.
        count: Images at most.
        draws: Draws of each image.
        resamples: Times that each step but the last is walked: 1 is replacement, more is RePaint's.
        candidates: Make so many samples, of a guided model of each class, and choose each image's draws
            from them by what is known, in the place of leading the chain.
        out: Folder for ``restored.npz`` and ``restoration.json``; None writes nothing.
        progress: Receives the progress messages.
        options: Fields of :class:`~qdm_qiskit.sampling.SamplingConfig`: ``shots=1024``, ``seed=1``,
            ``scheduler="ddim"``.

    Returns:
        The draws, the images of the competitors (mean, nearest neighbour, bilinear, Gaussian) and all
        errors where the truth is known.

    Raises:
        InvalidOption: If an option does not fit the run.
        InvalidData, MissingData: If images, mask or table cannot be used.
        TargetUnavailable: If the target cannot be used here.
        OutputNotWritable: If the folder cannot be written.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=4, depth=1, num_steps=2, train_count=40, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     found = qdm.restore(run, mask="left", count=3, draws=2)
    >>> found.draws.shape, list(found.errors)[:2]
    ((2, 3, 1, 4, 4), ['run', 'mean'])
    """
    folder = None if out is None else checked_path(out, "out")
    if folder is not None:
        _check_output(folder)
    if whole_number(count, "count") < 1:
        raise InvalidOption(f"count must be at least 1, got {count}.")
    config = build(SamplingConfig, {"target": target_text(target, "noisy"), **options})
    trained = run if isinstance(run, TrainedRun) else load_run(checked_path(run, "run"))
    record = trained.config.record
    rows = None if record is None else record.rows
    split = load_split(trained.config)
    truth: np.ndarray | None = None
    told = None if labels is None else np.asarray(labels)
    if table is not None:
        if mask is not None or factor is not None or images is not None:
            raise InvalidOption("A table has its gaps; leave mask, factor and images out.")
        if rows is None:
            raise InvalidOption("This run was trained on images, not on rows; leave table out.")
        known = read_gaps(table, rows, trained.model.image_shape[1])
    else:
        known, truth, found = _known(split, images, mask, factor, count, rows, config.seed)
        told = found if told is None else told[:count]
    if config.label is not None:
        told = np.full(len(known.images), config.label)
    result = restore_images(
        trained,
        known,
        config,
        labels=told,
        draws=draws,
        resamples=resamples,
        candidates=candidates,
        progress=progress,
    )
    progress(Message("filling by the trivial competitors"))
    others = fills(split.train.images, known)
    errors: dict[str, Fill] = {}
    columns: dict[str, dict[str, dict[str, float]]] = {}
    if truth is not None:
        _, drawn = gaussian_draws(split.train.images, known, draws, config.seed)
        sets = {OWN: result.draws, **{name: each[None] for name, each in others.items()}}
        sets["gaussian draws"] = np.clip(drawn, 0, 1)
        errors = fill_table(sets, truth, known, OWN)
        if rows is not None:
            means = {name: each.mean(axis=0) for name, each in sets.items()}
            columns = {n: column_errors(rows, each, truth, known) for n, each in means.items()}
    manifest = {**result.manifest, "restored": len(known.images), "mask": _told(mask, table)}
    made = Restoration(result.draws, known, truth, others, errors, columns, rows, manifest)
    if folder is not None:
        made.write(folder)
    return made


def _check_output(folder: Path) -> None:
    check_writable(folder)
    for name in ("restored.npz", "restored.csv", "restoration.json"):
        if (folder / name).exists():
            raise OutputNotWritable(
                f"{folder} holds a file {name} already, which is not overwritten; choose another "
                "folder."
            )


def _known(
    split: Split,
    images: str | Path | np.ndarray | None,
    mask: str | np.ndarray | None,
    factor: int | None,
    count: int,
    rows: RowFormat | None,
    seed: int,
) -> tuple[Known, np.ndarray | None, np.ndarray | None]:
    """Return what is known, the truth, and labels where there are some."""
    if images is None:
        found, labels = split.test.images[:count], split.test.labels[:count]
    elif isinstance(images, np.ndarray):
        found, labels = np.asarray(images, dtype=np.float32)[:count], None
        gaps = np.isnan(found)
        if gaps.any():
            if mask is not None or factor is not None:
                raise InvalidOption("NaN hides pixels already; leave mask and factor out.")
            return Known(np.where(gaps, 0.0, found).astype(np.float32), ~gaps), None, None
    else:
        raw, labelled = read_npz(checked_path(images, "images"))
        found = raw.pixels[:count]
        labels = raw.labels[:count] if labelled else None
    if factor is not None:
        if mask is not None:
            raise InvalidOption("Give mask or factor, and not both.")
        if rows is not None and rows.shape != found.shape[2:]:
            # Cells of a table or a series lie in the image one behind the other.
            raise InvalidOption(
                f"Blocks of pixels are no neighbours in a {rows.kind}, so factor says nothing of it; "
                "hide columns: mask='columns:NAME'."
            )
        return Known(found, factor=whole_number(factor, "factor")), found, labels
    if mask is None:
        raise InvalidOption("Say what is hidden: mask, factor or table, such as mask='left'.")
    if isinstance(mask, str):
        where = (
            mask_from_file(Path(mask), found.shape)
            if mask.endswith(".npz")
            else mask_of(mask, found.shape, rows=rows, seed=seed)
        )
    else:
        where = np.asarray(mask)
        if where.shape == found.shape[1:]:
            where = np.broadcast_to(where, found.shape).copy()
    return Known(found, where), found, labels


def mask_from_file(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask of a file, of the images' shape.

    Args:
        path: An ``.npz`` file with a bool array ``mask`` for all images, or for each.
        shape: (count, channels, height, width).

    Raises:
        MissingData: If there is no such file.
        InvalidData: If it holds no such array.
    """

    def check(headers: Headers) -> None:
        for each in headers.values():  # before anything is unpacked
            if each.shape not in (shape, shape[1:]) or each.dtype != np.bool_:
                raise InvalidData(
                    f"'mask' is bool and of the shape of the images, {shape} or {shape[1:]}; got "
                    f"{each.dtype} of shape {each.shape}"
                )

    if not path.is_file():
        raise MissingData(f"There is no file of a mask {path}.")
    try:
        mask = read_arrays(path, ["mask"], foreign=True, check=check).get("mask")
    except InvalidData as error:
        raise InvalidData(f"{path} holds no mask: {error}.") from error
    if mask is None:
        raise InvalidData(f"{path} must hold a bool array 'mask', written by numpy.savez.")
    if mask.shape == shape[1:]:
        mask = np.broadcast_to(mask, shape).copy()
    return mask


def _told(mask: str | np.ndarray | None, table: str | Path | None) -> str:
    if table is not None:
        return "table"
    return mask if isinstance(mask, str) else "array" if mask is not None else "none"
