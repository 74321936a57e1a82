"""Search over options, with Optuna or by a rule of ours.

Points are asked for in rounds, trained as items, and told.

What was asked for is written down before it is trained, and every round makes its study anew of what
came of the rounds before, with a seed of the round's own. So a search that was killed goes on as if
nothing had happened, on any workers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..arguments import checked_text
from ..errors import InvalidData, InvalidOption, MissingData, MissingDependency, QdmError
from ..files import read_json_object, write_json
from ..progress import Message, Progress, silent
from ..rng import derived_seed
from ..work import Workers, WorkItem, run_items, said_of
from .choosers import check_space, choose
from .item import BOARD, failures_of, loss_of, train_item
from .plan import MOST_RUNS, Draw, PlannedRun, SweepPlan, plan_sweep, typed_ends
from .sweep import SweepResult, collect

__all__ = [
    "SCHEMA",
    "Search",
    "is_search",
    "plan_search",
    "read_search",
    "run_search",
    "write_search",
]

SCHEMA = "qdm-search/2"
_BEFORE = "qdm-search/1"  # which Optuna alone chose for
FILE = "search.json"
Point = dict[str, Any]


@dataclass(frozen=True)
class Search:
    """A search: what may vary, and how many points are tried."""

    name: str
    """The model or preset."""
    settings: dict[str, Any]
    """Options that all runs share."""
    space: dict[str, dict[str, Any]]
    """Option to ``low``, ``high`` and ``log``, or to ``choices``."""
    trials: int
    """Points that are tried."""
    at_once: int
    """Points that are asked for together: the next ones know what came of all of these."""
    seeds: int
    """Runs of each point, whose mean test loss is told."""
    seed: int
    """The first run's seed, on which the points depend too."""
    asked: list[list[Point]] = field(default_factory=list, compare=False)
    """Points of the rounds so far."""
    method: str = "optuna"
    """Who chooses: ``optuna``, or a rule of :data:`~qdm_qiskit.sweeps.choosers.Chooser`."""


def plan_search(
    name: str,
    settings: Mapping[str, Any] | None = None,
    *,
    draw: Mapping[str, Draw | Sequence[Any]],
    trials: int,
    at_once: int = 4,
    seeds: int = 1,
    seed: int = 0,
    method: str = "optuna",
) -> Search:
    """Plan a search for the lowest test loss.

    Args:
        name: A model, preset or circuit.
        settings: Options that all runs share.
        draw: Option to the ends between which it is searched, or to values of which one is taken.
        trials: Points that are tried, at least 1.
        at_once: Points of a round, at least 1. More keep more workers busy, and know less.
        seeds: Runs of each point.
        seed: The first run's seed.
        method: Optuna's TPE, or ``random``, ``spsa``, ``qaoa`` or ``surrogate``.

    Raises:
        UnknownName: If there is no model of this name.
        InvalidOption: If an option is unknown, out of range or named twice, nothing is drawn, or the
            method cannot choose in this space.
        MissingDependency: If Optuna is to choose and is not installed.
    """
    if method == "optuna":
        _optuna()
    checked_text(name, "model", "a search takes a name, which its workers know too")
    for what, count in (("trials", trials), ("at_once", at_once), ("seeds", seeds)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InvalidOption(f"{what} is a whole number of at least 1, got {count!r}.")
    if trials * seeds > MOST_RUNS:
        raise InvalidOption(
            f"A search has at most {MOST_RUNS} runs, got {trials} trials x {seeds} seeds."
        )
    if not draw:
        raise InvalidOption(
            "A search needs options that it may choose: name them in draw, as "
            "draw learning_rate=0.001:0.1:log."
        )
    settings = dict(settings or {})
    space: dict[str, dict[str, Any]] = {}
    for option, each in sorted(draw.items()):  # as its file has them: Optuna draws in this order
        if option in settings or option == "seed":
            raise InvalidOption(
                f"Option '{option}' is set twice, or is a search's own: it sets seed by its own seeds, "
                "and each option in one of settings and draw."
            )
        if isinstance(each, Draw):
            low, high = typed_ends(name, settings, option, each)
            space[option] = {"low": low, "high": high, "log": each.log}
        elif isinstance(each, str) or not each:
            raise InvalidOption(f"draw takes ends or a list for '{option}', got {each!r}.")
        else:
            space[option] = {"choices": [str(value) for value in each]}
            for value in each:  # a wrong one is said before anything is trained
                _runs_of(Search(name, settings, {}, 1, 1, 1, seed), {option: str(value)})
    if method != "optuna":
        check_space(method, space, at_once)
    return Search(name, settings, space, trials, at_once, seeds, seed, method=method)


def run_search(
    search: Search,
    folder: Path,
    *,
    workers: Workers | None = None,
    threads: int = 1,
    log_with: Sequence[str] = (BOARD,),
    progress: Progress = silent,
) -> SweepResult:
    """Try the points of a search that are not tried yet.

    Each run is bit for bit the one that :func:`~qdm_qiskit.training.train` makes of its configuration
    alone. The points depend on the search alone, not on the workers.

    Args:
        search: The search.
        folder: Its folder: new, or that of the same search, which goes on.
        workers: Who trains; this process if None.
        threads: CPU threads of torch for each run.
        log_with: Trackers of metrics; see :func:`~qdm_qiskit.training.train`. Runs do not depend on
            them.
        progress: Receives a message for each run that ends.

    Returns:
        What came of all runs, a run a row.

    Raises:
        InvalidOption: If the folder holds another search or a sweep.
        MissingDependency: If Optuna is not installed and points are to be asked for.
        Others: As :func:`~qdm_qiskit.work.run_items`.
    """
    asked = _begun(search, folder)
    told: list[tuple[Point, float | None]] = []
    runs: dict[str, PlannedRun] = {}
    failures: dict[str, str] = {}
    interrupted = False
    for number in range(-(-search.trials // search.at_once)):
        first = number * search.at_once
        last = min(first + search.at_once, search.trials)
        if number == len(asked):
            asked.append(_ask(search, told, number, last - first))
            write_search(replace(search, asked=asked), folder)
        points = asked[number]
        planned = [_planned(search, point, failures) for point in points]
        items = {run.name: _item(run, threads, log_with) for each in planned for run in each}
        runs |= {run.name: run for each in planned for run in each}
        outcome = run_items(
            list(items.values()), folder, workers, _said(progress, first, last, search.trials)
        )
        failures |= failures_of(outcome, items)
        if outcome.interrupted:
            interrupted = True
            break
        for point, each in zip(points, planned, strict=True):
            losses = [loss_of(outcome.results.get(items[run.name].address)) for run in each]
            told.append((point, _mean(losses)))
        found = [loss for _, loss in told if loss is not None]
        if found:
            progress(Message(f"{last} of {search.trials} trials, least mean loss {min(found):.5g}"))
    plan = SweepPlan(search.name, (*search.space, "seed"), tuple(runs.values()))
    return collect(plan, folder, failures, interrupted=interrupted)


def read_search(folder: Path) -> Search:
    """Return the search of a folder, with what was asked for.

    Raises:
        MissingData: If there is none.
        InvalidData: If its file cannot be used.
    """
    path = folder / FILE
    if not path.is_file():
        raise MissingData(f"There is no search to resume in {folder}: {path} is missing.")
    content = read_json_object(path)
    if content.pop("schema", None) not in (SCHEMA, _BEFORE):
        raise InvalidData(f"{path} is not of schema '{SCHEMA}'.")
    try:
        search = Search(**content)
        rounds = -(-search.trials // search.at_once)
        _check(search, rounds)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InvalidData(f"{path} cannot be used: {type(error).__name__}: {reason}") from error
    return search


def is_search(folder: Path) -> bool:
    """Return whether a folder holds a search."""
    return (folder / FILE).is_file()


def _check(search: Search, rounds: int) -> None:
    counts = (search.trials, search.at_once, search.seeds)
    if any(type(each) is not int or each < 1 for each in counts) or type(search.seed) is not int:
        raise ValueError(f"its counts are {counts} and its seed {search.seed!r}")
    if search.trials * search.seeds > MOST_RUNS or search.seed < 0:
        raise ValueError(f"it has more than {MOST_RUNS} runs, or a seed below 0")
    if not isinstance(search.name, str) or not isinstance(search.settings, dict):
        raise ValueError("its name is no text, or its settings are no object")
    for option, each in search.space.items():
        _bounds(option, each)
    if search.method != "optuna":
        try:
            check_space(search.method, search.space, search.at_once)
        except InvalidOption as error:
            raise ValueError(str(error)) from error
    if not search.space or len(search.asked) > rounds:
        raise ValueError("it searches nothing, or has asked for more than its trials")
    for number, points in enumerate(search.asked):
        wanted = min(search.at_once, search.trials - number * search.at_once)
        if len(points) != wanted or any(set(point) != set(search.space) for point in points):
            raise ValueError(f"round {number} has not {wanted} points of its options")
        for option, bounds in search.space.items():
            if not all(_within(point[option], bounds) for point in points):
                raise ValueError(f"round {number} has a value of '{option}' outside its space")


def _bounds(option: str, each: dict[str, Any]) -> None:
    if set(each) == {"choices"}:
        choices = each["choices"]
        if isinstance(choices, list) and choices and all(isinstance(c, str) for c in choices):
            return
    elif set(each) == {"low", "high", "log"}:
        numbers = [each["low"], each["high"]]
        plain = all(type(end) in (int, float) and math.isfinite(end) for end in numbers)
        if plain and numbers[0] < numbers[1] and type(each["log"]) is bool:
            if not each["log"] or numbers[0] > 0:
                return
    raise ValueError(f"'{option}' has neither choices nor two ends")


def _within(value: Any, bounds: dict[str, Any]) -> bool:
    if "choices" in bounds:
        return value in bounds["choices"]
    return type(value) in (int, float) and bounds["low"] <= value <= bounds["high"]


def _begun(search: Search, folder: Path) -> list[list[Point]]:
    """Return what the folder's search has asked for, and refuse another one."""
    if (folder / "sweep.json").is_file():
        raise InvalidOption(f"{folder} holds a sweep; choose another folder for a search.")
    if not (folder / FILE).is_file():
        write_search(search, folder)
        return []
    there = read_search(folder)
    if _content(there, []) != _content(search, []):
        raise InvalidOption(
            f"{folder} holds a search with other options; resume it without any, or choose another "
            "folder."
        )
    return there.asked


def _content(search: Search, asked: list[list[Point]]) -> dict[str, Any]:
    found = asdict(search)
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in search.settings.items()}
    return {"schema": SCHEMA, **found, "settings": settings, "asked": asked}


def write_search(search: Search, folder: Path) -> None:
    """Write a search, with what was asked for, into its folder."""
    write_json(folder / FILE, _content(search, search.asked))


def _ask(
    search: Search, told: Sequence[tuple[Point, float | None]], number: int, count: int
) -> list[Point]:
    """Return the points of a round: a function of the search, the round, and what is known."""
    if search.method != "optuna":
        method: Any = search.method
        return choose(method, search.space, told, seed=search.seed, number=number, count=count)
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {
        option: _distribution(optuna.distributions, each) for option, each in search.space.items()
    }
    seed = derived_seed(search.seed, "work", number)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True))
    states = optuna.trial.TrialState
    for point, loss in told:
        # Optuna takes what was pruned for worse than all that ended, and leaves out what failed.
        state = states.PRUNED if loss is None else states.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(
                state=state, value=loss, params=point, distributions=dict(space)
            )
        )
    return [dict(sorted(study.ask(dict(space)).params.items())) for _ in range(count)]


def _distribution(kinds: Any, each: Mapping[str, Any]) -> Any:
    if "choices" in each:
        return kinds.CategoricalDistribution(each["choices"])
    whole = isinstance(each["low"], int) and isinstance(each["high"], int)
    kind = kinds.IntDistribution if whole else kinds.FloatDistribution
    return kind(each["low"], each["high"], log=each["log"])


def _runs_of(search: Search, point: Point) -> tuple[PlannedRun, ...]:
    grid = {option: [value] for option, value in point.items()}
    plan = plan_sweep(search.name, search.settings, grid=grid, seeds=search.seeds, seed=search.seed)
    return plan.runs


def _planned(search: Search, point: Point, failures: dict[str, str]) -> tuple[PlannedRun, ...]:
    """Return the runs of a point, none if its options do not go together."""
    try:
        return _runs_of(search, point)
    except QdmError as error:
        named = ",".join(f"{option}={value}" for option, value in point.items())
        failures[named] = str(error)
        return ()


def _item(run: PlannedRun, threads: int, log_with: Sequence[str]) -> WorkItem:
    return train_item(run.name, run.config, run.config.training.epochs, threads, log_with)


def _mean(losses: Sequence[float | None]) -> float | None:
    """Return the mean, None where there is none: a run failed, or all did."""
    known = [each for each in losses if each is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(losses) else None


def _said(progress: Progress, first: int, last: int, trials: int) -> Progress:
    return said_of(f"trials {first + 1} to {last} of {trials}", progress)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingDependency(
            "A search needs the package optuna: pip install 'qdm_qiskit[optuna]'."
        ) from error
    return optuna
