"""Does normalising measured values over a batch pay, for a model whose rows have times?

Usage: python benchmarks/normalisation.py [--seeds 3] [--study q_dense_ancilla] [--work FOLDER]
           [--out FILE]

Post-measurement normalisation (QuantumNAT, Wang et al., arXiv:2110.11331) subtracts from each measured
value its mean over the batch and divides by its spread, in training and afterwards, so that what a
device shrinks and shifts cancels. Here the values then get the mean and the spread back that the exact
run's own values have. Q-Dense of ``train_on.py``, in the study that is named, goes on from the same
exact runs, for as many epochs, and is judged by the same loss at the same places:

* plain: exactly, without normalisation, as ``exact`` there;
* afterwards: the same weights, normalised only where they are judged;
* batch: trained with it, moments over all rows of a batch, whatever their times;
* by time: trained with it, moments over the rows of each time;
* refit: the weights of plain, with gain and offset of each value fitted to the exact ones of 300
  training circuits at the place, as `qdm refit` does: what normalisation has to beat;
* nothing: every value is its mean, whatever goes in. A loss above it is worth nothing.

All of it without shots and with 4096 of each row: where a device leaves a small signal, dividing by its
spread enlarges the shot noise as well.

``--study line`` asks the same of the flagship, which is told the time and the class; its results are in
normalisation_line.json (``--out``).

Each normalised way is judged twice: with moments of batches of mixed times, as training has them, and
of one time each, as a step of sampling has them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from train_on import DATA, PLACES, STUDIES, Places, Study, exact_run

from qdm_qiskit.diffusion.base import TrainingPairs
from qdm_qiskit.files import write_json
from qdm_qiskit.layers import QuantumLayer
from qdm_qiskit.mitigation.refit import AffineCorrection, affine_correction
from qdm_qiskit.rng import derived_seed
from qdm_qiskit.sampling import TrainedRun, load_run
from qdm_qiskit.training import load_split
from qdm_qiskit.training.objective import Objective
from qdm_qiskit.training.run_data import class_indices, classes_of

SHOTS, CIRCUITS = 4096, 300
WHERE = (*PLACES, *(f"{place}, {SHOTS} shots" for place in PLACES))
LEAST = 1e-6
"""Spread below which a value is not divided by it."""
Moments = tuple[Tensor, Tensor]


def moments_of(values: Tensor) -> Moments:
    """Return mean and spread of each value over the rows."""
    return values.mean(dim=0), values.std(dim=0, correction=0)


class Normalised:
    """The one circuit of a model with its outputs normalised while it answers.

    Args:
        model: The model.
        by_time: True for moments of the rows of each time, False for those of all rows.
        wanted: Moments that values get back, of each time, or of all under the key None.
    """

    def __init__(self, model: Any, *, by_time: bool, wanted: dict[int | None, Moments]) -> None:
        [self.layer] = [each for each in model.modules() if isinstance(each, QuantumLayer)]
        self.model, self.by_time, self.wanted = model, by_time, wanted
        self.steps = torch.zeros(0)

    @contextmanager
    def acting(self, num_steps: int) -> Iterator[None]:
        """Normalise until the context ends, whatever executes the circuit now."""
        inner = self.layer.executor

        def note(module: Any, given: tuple[Tensor, ...]) -> None:
            self.steps = (given[1] * num_steps).round().long()

        def normalised(*given: Any) -> Tensor:
            return self.changed(inner(*given))

        hook = self.model.register_forward_pre_hook(note)
        self.layer.executor = normalised
        try:
            yield
        finally:
            hook.remove()
            self.layer.executor = inner

    def changed(self, values: Tensor) -> Tensor:
        """Return the values with the wanted moments."""
        if not self.by_time:
            return shifted(values, self.wanted[None])
        found = torch.empty_like(values)
        for step in self.steps.unique().tolist():
            rows = self.steps == step
            found[rows] = shifted(values[rows], self.wanted.get(step, self.wanted[None]))
        return found


class Changed:
    """The one circuit of a model with its outputs changed row by row while it answers."""

    def __init__(self, model: Any, change: Callable[[Tensor], Tensor]) -> None:
        [self.layer] = [each for each in model.modules() if isinstance(each, QuantumLayer)]
        self.change = change

    @contextmanager
    def acting(self, num_steps: int) -> Iterator[None]:
        """Change until the context ends, whatever executes the circuit now."""
        inner = self.layer.executor

        def changed(*given: Any) -> Tensor:
            return self.change(inner(*given))

        self.layer.executor = changed
        try:
            yield
        finally:
            self.layer.executor = inner


def corrected(fit: AffineCorrection) -> Callable[[Tensor], Tensor]:
    """Return a correction as a function of tensors."""
    return lambda values: torch.from_numpy(fit(values.double().numpy())).to(values)


def constant(mean: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that answers a mean, whatever it is given."""
    return lambda values: mean.expand_as(values)


def shifted(values: Tensor, wanted: Moments) -> Tensor:
    """Return the values with other moments over their rows."""
    mean, spread = moments_of(values)
    return (values - mean) / spread.clamp_min(LEAST) * wanted[1] + wanted[0]


@dataclass(frozen=True)
class Drawn:
    """Noisy images, and the labels of the images if the model is told those."""

    pairs: TrainingPairs
    labels: Tensor | None

    def losses(self, run: TrainedRun) -> Tensor:
        """Return the loss of each, by what executes the run's circuit now."""
        return Objective(run.process, run.model).losses(run.model, self.pairs, self.labels)


def labels_of(run: TrainedRun, part: str) -> Tensor | None:
    """Return labels of a part of the images for a model that is told them."""
    if not getattr(run.model.config, "guided", False):
        return None
    split = load_split(run.config)
    return torch.from_numpy(class_indices(getattr(split, part).labels, classes_of(split)))


def values_of(run: TrainedRun, seen: Drawn) -> Tensor:
    """Return a run's values for noisy images, from what executes its circuit now."""
    [layer] = [each for each in run.model.modules() if isinstance(each, QuantumLayer)]
    inner, heard = layer.executor, list[Tensor]()

    def listening(*given: Any) -> Tensor:
        heard.append(inner(*given))
        return heard[-1]

    layer.executor = listening
    with torch.no_grad():
        seen.losses(run)
    layer.executor = inner
    [values] = heard
    return values


def moments_by_time(run: TrainedRun, seen: Drawn) -> dict[int | None, Moments]:
    """Return the moments of a run's exact values, over all rows and over those of each time."""
    values, steps = values_of(run, seen), seen.pairs.step
    found: dict[int | None, Moments] = {None: moments_of(values)}
    for step in steps.unique().tolist():
        found[step] = moments_of(values[steps == step])
    return found


def drawn(run: TrainedRun, part: str, name: int) -> Drawn:
    """Return noisy images of a part of a run's data, the same ones each time."""
    images = torch.from_numpy(getattr(load_split(run.config), part).images)
    source = torch.Generator().manual_seed(derived_seed(0, "noise", name))
    pairs = Objective(run.process, run.model).pairs(images, source)
    return Drawn(pairs, labels_of(run, part))


def trained_on(run: TrainedRun, study: Study, seed: int, normal: Normalised | None) -> None:
    """Train a run for some epochs more, in place, as the study's ways are."""
    images = torch.from_numpy(load_split(run.config).train.images)
    told = labels_of(run, "train")
    objective, training = Objective(run.process, run.model), run.config.training
    rate = study.slower.get("learning_rate", training.learning_rate)
    factor = study.slower.get("decay_factor", training.decay_factor)
    optimizer = torch.optim.Adam(run.model.parameters(), lr=rate)
    slower = torch.optim.lr_scheduler.StepLR(optimizer, training.decay_every or study.more, factor)
    source = torch.Generator().manual_seed(derived_seed(seed, "noise", 8))
    for _ in range(study.more):
        order = torch.randperm(len(images), generator=source)
        for rows in order.split(training.batch_size):
            labels = None if told is None else told[rows]
            seen = Drawn(objective.pairs(images[rows], source), labels)
            optimizer.zero_grad()
            with acting(normal, run):
                seen.losses(run).mean().backward()
            optimizer.step()
        slower.step()


@contextmanager
def acting(normal: Normalised | Changed | None, run: TrainedRun) -> Iterator[None]:
    """Normalise where there is something that does."""
    if normal is None:
        yield
        return
    with normal.acting(run.process.num_steps):
        yield


def judged(
    run: TrainedRun,
    places: Places,
    seen: Drawn,
    made: Callable[[str], Normalised | Changed | None],
) -> dict[str, float]:
    """Return the test loss at each place, with what is made for the place."""
    found = {}
    for name in WHERE:
        changed = made(name)
        with torch.no_grad(), places.answering(name, run.model), acting(changed, run):
            found[name] = float(seen.losses(run).mean())
    return found


def refit_at(run: TrainedRun, places: Places, seen: Drawn, name: str) -> Changed:
    """Return the correction of a run's values at a place."""
    pairs = seen.pairs
    first = TrainingPairs(*(getattr(pairs, each.name)[:CIRCUITS] for each in fields(pairs)))
    few = Drawn(first, seen.labels)
    exact = values_of(run, few)
    with places.answering(name, run.model):
        measured = values_of(run, few)
    return Changed(
        run.model, corrected(affine_correction(measured.double().numpy(), exact.double().numpy()))
    )


def cells(study: str, seed: int, work: Path) -> dict[str, dict[str, float]]:
    """Return the losses of all ways of one seed."""
    first = exact_run(study, seed, work)
    found: dict[str, dict[str, float]] = {}
    places = Places(study, seed, load_run(first), SHOTS)
    ways: dict[str, bool | None] = {"plain": None, "batch": False, "by time": True}
    for way, by_time in ways.items():
        run = load_run(first)
        seen, tested = drawn(run, "train", 6), drawn(run, "test", 7)
        normal = None
        if by_time is not None:
            wanted = moments_by_time(run, seen)
            normal = Normalised(run.model, by_time=by_time, wanted=wanted)
        trained_on(run, STUDIES[study], seed, normal)
        if by_time is None:
            found["plain"] = judged(run, places, tested, lambda name: None)
            # The moments of the weights as they are now.
            wanted, way = moments_by_time(run, seen), "afterwards"
            found["refit"] = judged(run, places, tested, partial(refit_at, run, places, seen))
            mean = Changed(run.model, constant(wanted[None][0]))
            found["nothing"] = judged(run, places, tested, lambda name, made=mean: made)
        for judge, split_by in (("mixed times", False), ("one time", True)):
            made = Normalised(run.model, by_time=split_by, wanted=wanted)
            if way == "batch" and split_by:
                # Sampling normalises one time's rows by the moments that training gave back to all.
                made.wanted = {None: wanted[None]}
            found[f"{way}, {judge}"] = judged(run, places, tested, lambda name, made=made: made)
    return found


def table(content: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the losses of each seed, and their means, as a Markdown table."""
    head = f"| way, and its moments | {' | '.join(WHERE)} |"
    lines = [head, "|---" * (1 + len(WHERE)) + "|"]
    for way in next(iter(content.values())):
        words = []
        for place in WHERE:
            values = [each[way][place] for each in content.values()]
            shown = ", ".join(f"{value:.4f}" for value in values)
            words.append(f"{np.mean(values):.4f} ({shown})" if len(values) > 1 else shown)
        lines.append(f"| {way} | " + " | ".join(words) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--study", default="q_dense_ancilla")
    parser.add_argument("--work", type=Path, default=Path("train_on_runs"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/normalisation.json"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    content: dict[str, dict[str, dict[str, float]]] = {}
    for seed in range(options.seeds):
        content[str(seed)] = cells(options.study, seed, options.work)
        print(seed, json.dumps(content[str(seed)]), flush=True)
        about = {"study": options.study, **asdict(STUDIES[options.study]), "data": DATA}
        write_json(options.out, {**about, "losses": content})
    print(table(content))


if __name__ == "__main__":
    main()
