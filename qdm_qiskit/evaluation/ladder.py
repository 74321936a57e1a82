"""A ladder: the same images through more and more of a device's noise, then through each remedy.

Every rung walks the same chain, from the same x_T and with the same noise between the steps, and is
held against the exact images. So it shows what a part of the noise costs and what a remedy gives back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import of_kind, whole_number
from ..errors import InvalidOption, QdmError, UnsupportedCircuit, unknown_name
from ..execution.devices import as_backend
from ..execution.region import active_qubits, noise_of
from ..execution.rewritten import RewrittenRunner
from ..execution.targets import parse_target
from ..hardware.plan.qpu_seconds import JOB_OVERHEAD_SECONDS, timing
from ..notebook import Markup, card, note, one_line, table
from ..progress import Message, Progress, silent
from ..rng import stream
from ..sampling import Samples, SamplingConfig, TrainedRun, sample
from ..training import load_split
from ..transpiling.cost import circuit_cost
from ..transpiling.waits import Pulses
from .bootstrap import Interval, bootstrap_interval, check_bootstrap, share_interval
from .distances import frechet_distance
from .domain_classifier import FEATURES, DomainClassifier, domain_classifier
from .ladder_rungs import RUNGS, Ground, Rung, Setup

__all__ = ["SCHEMA", "Ladder", "LadderConfig", "LadderRow", "climb"]

SCHEMA = "qdm-ladder/1"


@dataclass(frozen=True, kw_only=True)
class LadderConfig:
    """Options of a ladder beside those of its sampling.

    >>> LadderConfig(rungs=("m3",)).names()
    ('exact', 'shots', 'all', 'm3')
    """

    rungs: tuple[str, ...] = ()
    """Names of rungs in :data:`.RUNGS`; all if none. Those on which they stand come with them."""
    randomizations: int = 8
    """Random circuits of a row where something is twirled."""
    pulses: Pulses = "XX"
    """Sequence of dynamical decoupling."""
    classifier: bool = True
    """True to name the images by a classifier of the run's own data."""
    resamples: int = 200
    """Bootstrap resamples of each interval."""
    level: float = 0.95
    """Level of the intervals."""

    def __post_init__(self) -> None:
        for name in self.rungs:
            if name not in RUNGS:
                raise InvalidOption(str(unknown_name("rung", name, RUNGS)))
        if self.pulses not in ("XX", "XpXm", "XY4"):
            raise InvalidOption(f"pulses is 'XX', 'XpXm' or 'XY4', got {self.pulses!r}.")
        if not 1 <= whole_number(self.randomizations, "randomizations") <= 10_000:
            raise InvalidOption(f"randomizations is 1 to 10000, got {self.randomizations}.")
        check_bootstrap(self.resamples, self.level)

    def names(self) -> tuple[str, ...]:
        """Return the rungs in the order in which they stand, with those below them."""
        wanted = {"exact", "all", *(self.rungs or RUNGS)}
        for name in reversed(RUNGS):
            below = RUNGS[name].below
            if name in wanted and below is not None:
                wanted.add(below)
        return tuple(name for name in RUNGS if name in wanted)


@dataclass(frozen=True, kw_only=True)
class LadderRow:
    """A rung that was climbed, or could not be."""

    name: str
    """Name in :data:`.RUNGS`."""
    title: str
    """Name in words."""
    below: str | None
    """Rung with which ``gain`` compares."""
    distance: Interval | None = None
    """Root mean square distance of pixels to the exact images."""
    gain: Interval | None = None
    """Distance of the rung below less this one's, image by image: above 0 the rung helps."""
    step_distance: float | None = None
    """Total variation distance of the used frequencies to the exact ones, mean over steps."""
    signal_left: float | None = None
    """Share of the exact distributions' signal in the raw frequencies, mean over steps."""
    signal_interval: Interval | None = None
    """The same with its bootstrap interval over steps."""
    predicted: float | None = None
    """Expected success of the circuits by the errors that act, mean over circuits: what a plan would
    have said. None for remedies, whose effect it does not know, and where a device gives no errors."""
    label_accuracy: Interval | None = None
    """Share of images that the classifier gives the label which they were asked for."""
    frechet: Interval | None = None
    """Domain Fréchet distance to the run's test images."""
    jobs: int = 0
    """Jobs, calibrations among them."""
    circuits: int = 0
    """Bound circuits, calibrations and random copies among them."""
    shots: int = 0
    """Shots of all circuits."""
    qpu_seconds: float | None = None
    """QPU seconds by IBM's formula, if the device itself ran it; None without shots."""
    processor_seconds: float = 0.0
    """Seconds of this machine's processor."""
    note: str = ""
    """Limit of what the rung shows."""
    problem: str = ""
    """Reason why it was not run, if it was not."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Ladder:
    """All rungs of a run on a device."""

    model: str
    """Name of the run's model."""
    sampling: dict[str, Any]
    """Options of the sampling with all noise."""
    options: dict[str, Any]
    """Options of the ladder."""
    backend: str
    """The device."""
    steps: int
    """Steps of the chain."""
    rows: tuple[LadderRow, ...]
    """The rungs."""
    judged: dict[str, Any]
    """The classifier's accuracy and number of test images, or ``because``, why there is none."""
    images: dict[str, np.ndarray]
    """Images of each rung that ran, ``(count, channels, height, width)``."""
    versions: dict[str, str]

    def row(self, name: str) -> LadderRow:
        """Return a rung.

        Raises:
            UnknownName: If it is not on the ladder.
        """
        found = {row.name: row for row in self.rows}
        if name not in found:
            raise unknown_name("rung", name, list(found))
        return found[name]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the images, ready for JSON."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "backend": self.backend,
            "steps": self.steps,
            "sampling": self.sampling,
            "options": self.options,
            "classifier": self.judged,
            "rungs": [asdict(row) for row in self.rows],
            "versions": self.versions,
        }

    def __repr__(self) -> str:
        ran = sum(not row.problem for row in self.rows)
        return one_line("Ladder", self.model, f"{ran} of {len(self.rows)} rungs on {self.backend}")

    def _repr_html_(self) -> str:
        data = self.to_dict()
        parts: list[Markup] = [table(HEAD, ladder_lines(data))]
        parts += [note(each) for each in ladder_notes(data)]
        return card("Ladder", *parts, about=about_ladder(data))


HEAD = [
    *("rung", "distance to exact", "gain", "over", "a step", "predicted", "signal left"),
    *("label right", "Fréchet", "circuits", "shots", "QPU s", "processor s"),
]


def ladder_lines(data: dict[str, Any]) -> list[list[str]]:
    """Return the cells of each rung, see :data:`HEAD`."""
    return [
        [
            row["title"],
            *(
                ["not run", *["-"] * (len(HEAD) - 2)]
                if row["problem"]
                else [
                    _interval(row["distance"]),
                    *(_interval(row["gain"]), row["below"] or "-"),
                    "-" if row["step_distance"] is None else f"{row['step_distance']:.3f}",
                    "-" if row["predicted"] is None else f"{row['predicted']:.0%}",
                    _signal(row),
                    _interval(row["label_accuracy"]),
                    _interval(row["frechet"]),
                    *(f"{row['circuits']:,}", f"{row['shots']:,}"),
                    "-" if row["qpu_seconds"] is None else f"{row['qpu_seconds']:,.1f}",
                    f"{row['processor_seconds']:.1f}",
                ]
            ),
        ]
        for row in data["rungs"]
    ]


def ladder_notes(data: dict[str, Any]) -> list[str]:
    """Return what the table needs said: limits, rungs that were not run, the classifier."""
    options, judged = data["options"], data["classifier"]
    said = []
    for row in data["rungs"]:
        if row["problem"]:
            said.append(f"{row['title']}: not run. {row['problem']}")
        elif row["note"]:
            gain = "" if row["gain"] is None else f" Measured: {_interval(row['gain'])}."
            said.append(f"{row['title']}: {row['note']}{gain}")
    said.append(
        "Distance: root mean square over pixels to the exact images of the same x_T, "
        f"{options['level']:.0%} bootstrap intervals over images. Gain: how much nearer than the rung "
        "named; of a remedy whose interval holds 0 these images show no effect. A step: total "
        "variation distance of the frequencies that were used to the exact ones, mean over steps."
    )
    said.append(
        "Predicted: expected success by the device's calibration, in which every failure loses "
        "everything. Signal left: what the frequencies have of the exact ones, simulated, with its "
        "interval over steps. A failure late or in one bit leaves part of the signal."
    )
    if "accuracy" in judged:
        said.append(
            f"Labels are read by a classifier that names {judged['accuracy']:.1%} of {judged['count']} "
            "real test images rightly."
        )
    else:
        said.append(f"No classifier: {judged['because']}")
    return said


def about_ladder(data: dict[str, Any]) -> str:
    """Return what the ladder is of, in a line."""
    sampling = data["sampling"]
    return (
        f"{data['model']} on {data['backend']}: {sampling['num_images']} images, {data['steps']} "
        f"steps, {sampling['shots']} shots a circuit, seed {sampling['seed']}"
    )


def _signal(row: dict[str, Any]) -> str:
    if row["signal_left"] is None:
        return "-"
    told = f"{row['signal_left']:.0%}"
    found = row["signal_interval"]
    return told if found is None else f"{told} [{found['low']:.0%}, {found['high']:.0%}]"


def _interval(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    low, high = found["low"], found["high"]
    return f"{found['estimate']:.3g} [{low:.3g}, {high:.3g}]"


def climb(
    run: TrainedRun,
    sampling: SamplingConfig,
    config: LadderConfig | None = None,
    *,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Ladder:
    """Climb the rungs of a ladder.

    Args:
        run: A trained run whose circuits are calls.
        sampling: Target, ``noisy:`` of a device, with images, shots, seed; all noise, no mitigation.
        config: The rungs and their options.
        cache: Folder of the domain classifiers; None keeps none.
        progress: Receives a message for each rung.

    Returns:
        The ladder.

    Raises:
        InvalidOption: If the target is no device's noise, or noise or mitigation is chosen already.
        TargetUnavailable: If the model has no circuit to run.
        Others: As :func:`~qdm_qiskit.sampling.sample`.
    """
    of_kind(run, TrainedRun, "run", "load_run(folder) reads one")
    of_kind(sampling, SamplingConfig, "sampling")
    config = LadderConfig() if config is None else config
    of_kind(config, LadderConfig, "config")
    _check(sampling)
    names = config.names()
    progress(Message("classifier"))
    judge = _Judge.of(run, config, cache)
    measured = _Measured(judge, config, sampling.seed)
    rows: dict[str, LadderRow] = {}
    predicted: dict[str, float] = {}

    def told(name: str) -> Progress:
        return lambda message: progress(Message(f"{RUNGS[name].title}: {message}"))

    backend = as_backend(parse_target(sampling.target).backend or "", "target")
    ground = Ground(
        run=run,
        config=sampling,
        backend=backend,
        circuits=(),
        noise=None,
        randomizations=config.randomizations,
        pulses=config.pulses,
    )
    # The first two come first: one is what all are held against, the other knows the circuits.
    for name in ("exact", "all", *(each for each in names if each not in ("exact", "all"))):
        rung = RUNGS[name]
        progress(Message(rung.title))
        setup = rung.setup(ground)
        if isinstance(setup, str):
            rows[name] = LadderRow(name=name, title=rung.title, below=rung.below, problem=setup)
            continue
        measured.add(name, rung, setup, _sampled(ground.run, setup, told(name)))
        if name == "all":
            ground = _with_circuits(ground, setup)
            predicted = _predicted(ground)
    rows |= measured.rows(predicted)
    return Ladder(
        model=run.config.model,
        sampling=asdict(sampling),
        options=asdict(config),
        backend=backend.name,
        steps=sampling.num_inference_steps or run.process.num_steps,
        rows=tuple(rows[name] for name in names),
        judged=judge.told(),
        images=measured.images(names),
        versions={p: version(p) for p in ("qiskit", "qiskit-aer", "qiskit-ibm-runtime")},
    )


def _check(sampling: SamplingConfig) -> None:
    if parse_target(sampling.target).kind != "noisy":
        raise InvalidOption(
            f"A ladder stands on a device's simulated noise, got target '{sampling.target}'; take one "
            "such as 'noisy:fake_torino'."
        )
    if sampling.noise != "all" or sampling.mitigation != "none":
        raise InvalidOption(
            "A ladder takes the noise apart and mitigates it itself; leave noise at 'all' and "
            f"mitigation at 'none', got {sampling.noise!r} and {sampling.mitigation!r}."
        )
    if sampling.num_images < 2:
        raise InvalidOption(
            f"A ladder's intervals need num_images of at least 2, got {sampling.num_images}."
        )


def _with_circuits(ground: Ground, setup: Setup) -> Ground:
    """Return the ground with the circuits that ran, and the noise on their qubits."""
    assert setup.runner is not None  # the rung of all noise has one
    circuits = tuple({id(each.circuit): each.circuit for each in setup.runner.executed}.values())
    noise = noise_of(ground.backend, active_qubits(circuits), readout=ground.config.readout)
    return replace(ground, circuits=circuits, noise=noise)


def _predicted(ground: Ground) -> dict[str, float]:
    """Return the expected success of each rung that only takes errors away; none without errors."""
    try:
        costs = [circuit_cost(each, ground.backend.target) for each in ground.circuits]
    except UnsupportedCircuit:  # a device that gives no error for a gate
        return {}
    found = {
        "shots": 1.0,
        "gates": float(np.mean([each.gate_success for each in costs])),
        "readout": float(np.mean([each.readout_success for each in costs])),
        "all": float(np.mean([each.expected_success for each in costs])),
    }
    waited = [
        each.expected_success * each.idle_success for each in costs if each.idle_success is not None
    ]
    if len(waited) == len(costs):  # durations of all gates are known
        found["waiting"] = float(np.mean(waited))
    return found


def _sampled(run: TrainedRun, setup: Setup, progress: Progress) -> tuple[Samples, float]:
    start = time.process_time()
    samples = sample(
        run if setup.run is None else setup.run,
        setup.config,
        runner=setup.runner,
        progress=progress,
    )
    return samples, time.process_time() - start


class _Measured:
    """The samples of rungs, and what is measured on them."""

    def __init__(self, judge: _Judge, config: LadderConfig, seed: int) -> None:
        self._judge, self._config, self._seed = judge, config, seed
        self._found: dict[str, tuple[Rung, Setup, Samples, float]] = {}

    def add(self, name: str, rung: Rung, setup: Setup, found: tuple[Samples, float]) -> None:
        self._found[name] = (rung, setup, *found)

    def images(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: self._found[name][2].images for name in names if name in self._found}

    def rows(self, predicted: dict[str, float]) -> dict[str, LadderRow]:
        return {name: self._row(name, predicted.get(name)) for name in self._found}

    def _row(self, name: str, predicted: float | None) -> LadderRow:
        rung, setup, samples, seconds = self._found[name]
        records = samples.records
        used = [
            each.raw_distance if each.mitigated_distance is None else each.mitigated_distance
            for each in records
        ]
        signal = self._of_steps([each.signal_left for each in records]) if records else None
        return LadderRow(
            name=name,
            title=rung.title,
            below=rung.below,
            distance=self._of_images(lambda i: _root_mean(self._squares(name)[i])),
            gain=self._gain(name, rung.below),
            step_distance=float(np.mean(used)) if used else None,
            signal_left=None if signal is None else signal.estimate,
            signal_interval=signal,
            predicted=predicted,
            label_accuracy=self._judge.label_accuracy(samples),
            frechet=self._judge.frechet(samples, self._config, self._rng(1)),
            note=setup.note,
            processor_seconds=seconds,
            **_spent(setup.runner, setup.copies),
        )

    def _squares(self, name: str) -> np.ndarray:
        """Return the mean squared distance of each image's pixels to the exact ones."""
        images, exact = self._found[name][2].images, self._found["exact"][2].images
        squares: np.ndarray = ((images - exact) ** 2).reshape(len(images), -1).mean(axis=1)
        return squares

    def _gain(self, name: str, below: str | None) -> Interval | None:
        if below is None or below not in self._found:
            return None
        ours, theirs = self._squares(name), self._squares(below)
        return self._of_images(lambda i: _root_mean(theirs[i]) - _root_mean(ours[i]))

    def _of_steps(self, values: Sequence[float]) -> Interval:
        array = np.array(values, dtype=float)
        return bootstrap_interval(
            lambda i: float(array[i].mean()),
            [len(array)],
            self._rng(2),
            resamples=self._config.resamples,
            level=self._config.level,
        )

    def _of_images(self, statistic: Callable[[np.ndarray], float]) -> Interval:
        count = len(self._found["exact"][2].images)
        return bootstrap_interval(
            statistic,
            [count],
            self._rng(0),
            resamples=self._config.resamples,
            level=self._config.level,
        )

    def _rng(self, purpose: int) -> np.random.Generator:
        # The same resamples for all rungs: their intervals are of the same choice of images.
        return stream(self._seed, "evaluation", 40, purpose)


def _root_mean(squares: np.ndarray) -> float:
    return float(np.sqrt(squares.mean()))


def _spent(runner: RewrittenRunner | None, copies: int) -> dict[str, Any]:
    if runner is None:
        return {}
    seconds, circuits, shots = 0.0, 0, 0
    for each in runner.executed:
        clock = timing(runner.backend, each.circuit)
        rows = each.rows * each.shots
        seconds += rows * (clock.rep_delay_seconds + clock.circuit_seconds)
        circuits, shots = circuits + each.rows * copies, shots + rows
    jobs = runner.metadata["jobs"]
    return {
        "jobs": jobs,
        "circuits": circuits,
        "shots": shots,
        "qpu_seconds": seconds + jobs * JOB_OVERHEAD_SECONDS,
    }


class _Judge:
    """A classifier of the run's own data, or why there is none."""

    def __init__(
        self, classifier: DomainClassifier | None, features: np.ndarray | None, because: str
    ) -> None:
        self._classifier, self._features, self._because = classifier, features, because
        self._left_out = ""

    @classmethod
    def of(cls, run: TrainedRun, config: LadderConfig, cache: Path | None) -> _Judge:
        if not config.classifier:
            return cls(None, None, "It was left out.")
        try:
            split = load_split(run.config)
            train, test = split.train, split.test
            found = domain_classifier(
                train.images, train.labels, test.images, test.labels, folder=cache
            )
        except QdmError as error:
            return cls(None, None, str(error))
        return cls(found, found.read(test.images)[0], "")

    def told(self) -> dict[str, Any]:
        if self._classifier is None:
            return {"because": self._because}
        return {
            "accuracy": self._classifier.accuracy,
            "count": self._classifier.test_count,
            "classes": list(self._classifier.classes),
        }

    def label_accuracy(self, samples: Samples) -> Interval | None:
        labels, classes = samples.manifest["labels"], samples.manifest["classes"]
        if self._classifier is None or labels is None:
            return None
        # The model is told positions; the classifier gives the data's own labels.
        label_of = {position: label for label, position in classes.items()}
        wanted = np.array([label_of[position] for position in labels])
        logits = self._classifier.read(samples.images)[1]
        named = np.array(self._classifier.classes)[logits.argmax(axis=1)]
        return share_interval(named == wanted)

    def frechet(
        self, samples: Samples, config: LadderConfig, rng: np.random.Generator
    ) -> Interval | None:
        if self._classifier is None or self._features is None:
            return None
        if min(len(samples.images), len(self._features)) <= FEATURES:
            return None
        ours, real = self._classifier.read(samples.images)[0], self._features
        return bootstrap_interval(
            lambda i, j: frechet_distance(ours[i], real[j]),
            [len(ours), len(real)],
            rng,
            resamples=config.resamples,
            level=config.level,
        )
