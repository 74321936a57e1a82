"""Shots over the calls of a chain: bounds, the optimum with costs, and what is saved on real models."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.hardware.plan.call_allocation import Spread, best_spread, cost_shots, groups_of
from qdm_qiskit.hardware.plan.call_jobs import Room, split_jobs
from qdm_qiskit.hardware.plan.call_pilots import (
    StepCall,
    call_variances,
    effort_of,
)
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.plan.shot_allocation import POWERS
from qdm_qiskit.reports.hardware_plan import plan_lines, plan_summary
from tests.hardware.plan.test_call_jobs import CLOCK, CONTENTS, FOUND, asked
from tests.hardware.reading_model import write_reading_run
from tests.helpers import write_run

RNG = np.random.default_rng(7)


def spread_of(c: object, w: object, **more: object) -> Spread:
    c, w = np.asarray(c, float), np.asarray(w, float)
    options = {"groups": np.arange(len(c)), "most": np.full(len(c), 1e7), "least": 1, **more}
    return Spread(variances=c, costs=w, **options)  # type: ignore[arg-type]


# --- numbers ------------------------------------------------------------------------------------

costs = st.lists(st.integers(1, 60), min_size=1, max_size=8)


@settings(deadline=None, max_examples=30)
@given(costs=costs, data=st.data(), bucket=st.sampled_from([1, 64]), mean=st.integers(64, 5000))
def test_an_allocation_keeps_the_total_and_the_bounds(costs, data, bucket, mean):
    size = st.floats(0, 1e3, allow_subnormal=False)
    c = np.array(data.draw(st.lists(size, min_size=len(costs), max_size=len(costs))))
    c[0] += 1e-3
    most = np.array([data.draw(st.integers(64, 20_000)) for _ in costs], float)
    spread = spread_of(c, costs, most=most, bucket=bucket, least=32)
    total = mean * sum(costs)
    for power in POWERS:
        shots = np.array(spread.shots(total, power))
        assert spread.executions(shots) <= total
        assert (shots % bucket == 0).all()
        if power:
            assert (shots >= max(bucket, 32 // bucket * bucket)).all()
            assert (shots <= np.maximum(most // bucket * bucket, max(bucket, 32))).all()


@settings(deadline=None, max_examples=30)
@given(costs=costs, data=st.data())
def test_no_other_allocation_of_the_executions_has_a_smaller_error(costs, data):
    size = st.floats(1e-3, 1e3)
    c = np.array(data.draw(st.lists(size, min_size=len(costs), max_size=len(costs))))
    w, total = np.array(costs, float), 1_000_000.0
    shots = np.array(spread_of(c, w).shots(total, 1.0))
    # The least is (sum of the roots of c w)^2 / total. Whole shots cost next to nothing.
    least = np.sqrt(c * w).sum() ** 2 / total
    assert least * (1 - 1e-9) <= (c / shots).sum() <= least * 1.02
    other = RNG.dirichlet(np.ones(len(c))) * total / w
    assert (c / np.maximum(other, 1e-9)).sum() >= least * (1 - 1e-9)


def test_calls_of_many_circuits_get_fewer_shots():
    even = spread_of([1.0, 1.0], [1.0, 16.0]).shots(17_000, 1.0)
    assert even[0] / even[1] == pytest.approx(4.0, rel=1e-2)  # the root of the ratio of costs
    assert cost_shots(np.array([1.0, 0.0]), np.ones(2), 100, 10, np.full(2, 1e6), 1).tolist() == [
        90,
        10,
    ]


def test_too_few_executions_are_one_line():
    with pytest.raises(InvalidOption, match=r"do not reach over 2 calls.*at least 64 shots"):
        spread_of([1.0, 1.0], [3.0, 5.0], bucket=64).shots(8 * 63, 1.0)


def test_calls_go_apart_where_it_saves_more_than_the_jobs_cost():
    calls = [StepCall(2, 1, "a", 1.0), StepCall(2, 1, "b", 1.0), StepCall(2, 2, "c", 1.0)]
    c, w = np.array([1.0, 100.0, 1.0]), np.ones(3)

    def groups(overhead: float, c: np.ndarray = c) -> list[int]:
        return groups_of(
            calls, c, w, 1e5, execution_seconds=1e-3, overhead_seconds=overhead
        ).tolist()

    # Together the first question takes sqrt(101 * 2) = 14.2, apart 11: of 1e5 executions, 100 s, at
    # the same error (15.2^2 - 12^2) / 15.2^2 of them are saved, 37.8 s.
    assert groups(0.0) == groups(37.0) == [0, 1, 2]
    assert groups(39.0) == [0, 0, 1]
    assert groups(0.0, np.ones(3)) == [0, 0, 1]  # apart nothing is saved


def test_calls_with_other_shots_are_parts_of_their_question():
    work = [
        [asked([(CONTENTS[0], 7), (CONTENTS[1], 3), (CONTENTS[0], 2)])],
        [asked([(CONTENTS[1], 3)])],
    ]
    told = {(2, "layer0"): 40, (2, "layer1"): 90, (2, "layer2"): 40, (1, "layer0"): 5}
    room = Room(executions=None, seconds=None)
    jobs = split_jobs([2, 1], work, FOUND, CLOCK, lambda t, name: told[t, name], room)
    found = {each.name: (each.shots, [call.name for call in each.calls]) for each in jobs}
    assert found == {
        "step-0002-part-01": (40, ["layer0", "layer2"]),
        "step-0002-part-02": (90, ["layer1"]),
        "step-0001": (5, ["layer0"]),
    }
    rows = {"step-0002-part-01": 9, "step-0002-part-02": 6, "step-0001": 6}
    assert {each.name: each.circuits for each in jobs} == rows
    each = 90 * 3 * 2 * (1e-3 + 3e-4)
    assert jobs[1].seconds == pytest.approx(2.0 + each)


# --- a model that is known in closed form -------------------------------------------------------


class Sums:
    """Images of one pixel that are a sum of coins, one a call: all variances are known."""

    def __init__(self, seed: int, weights: np.ndarray, chances: np.ndarray, images: int) -> None:
        self.calls = tuple(
            StepCall(3 - k // 2, 1 + k % 2, f"call{k % 2}", 1.0 + 7 * (k % 2)) for k in range(6)
        )
        self.num_images, self._seed = images, seed
        self._weights, self._chances = weights, chances

    def _noise(self, call: int, shots: int, repeat: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, call, repeat])
        share = rng.binomial(shots, self._chances[call], self.num_images) / shots
        return self._weights[call] * (share - self._chances[call])

    def moved(self, call: int, shots: int, repeat: int) -> np.ndarray:
        return self._noise(call, shots, repeat) ** 2

    def squares(self, shots, repeat: int) -> np.ndarray:
        return sum(self._noise(k, n, repeat) for k, n in enumerate(shots)) ** 2

    def error(self, shots, *, repeats: int = 2) -> float:
        return float(np.sqrt(np.mean([self.squares(shots, r) for r in range(repeats)])))


WEIGHTS = np.array([0.02, 0.03, 0.1, 0.1, 0.9, 0.2])
CHANCES = np.array([0.5, 0.3, 0.5, 0.9, 0.4, 0.5])


def test_the_error_of_a_known_model_is_the_predicted_one_and_below_uniform():
    c = WEIGHTS**2 * CHANCES * (1 - CHANCES)
    pilots = Sums(0, WEIGHTS, CHANCES, 64)
    found = call_variances(pilots, shots=500, repeats=8)  # type: ignore[arg-type]
    # Squares of 512 normal draws: 4 of their standard errors.
    assert found.final == pytest.approx(c, rel=4 * np.sqrt(2 / 512))
    w = np.array([each.executions for each in pilots.calls])
    spread = spread_of(found.final, w, least=32)
    total = float(500 * w.sum())
    best = best_spread(pilots, spread, total)
    assert best.power >= 0.5
    assert spread.executions(best.shots) <= total
    ratios = []
    for seed in range(1, 7):  # other draws than those it was fitted to
        other = Sums(seed, WEIGHTS, CHANCES, 64)
        mine = np.array([other.squares(best.shots, r) for r in range(20)]).ravel()
        even = np.array([other.squares([500] * 6, r) for r in range(20)]).ravel()
        ratios.append(mine.mean() / even.mean())
        exact = float((c / np.array(best.shots)).sum())
        assert abs(mine.mean() - exact) < 4.5 * mine.std(ddof=1) / np.sqrt(mine.size)
    spread_of_ratios = np.std(ratios, ddof=1) / np.sqrt(len(ratios))
    wanted = (c / np.array(best.shots)).sum() / (c / 500).sum()
    assert np.mean(ratios) + 4 * spread_of_ratios < 0.8
    assert np.mean(ratios) == pytest.approx(wanted, abs=5 * spread_of_ratios)


def test_a_power_whose_chains_lose_a_row_is_left_out():
    class Losing(Sums):
        def error(self, shots, *, repeats: int = 2) -> float:
            if min(shots) < 300:
                raise InvalidData("No shot of row 0 passed.")
            return super().error(shots, repeats=repeats)

    pilots = Losing(0, WEIGHTS, CHANCES, 16)
    c = WEIGHTS**2 * CHANCES * (1 - CHANCES)
    best = best_spread(pilots, spread_of(c, np.ones(6)), 3000.0)
    assert min(best.shots) >= 300


def test_long_chains_are_measured_at_some_steps_and_interpolated():
    class Long(Sums):
        def __init__(self) -> None:
            super().__init__(0, np.ones(1), np.ones(1), 4)
            self.calls = tuple(
                StepCall(t, k, f"call{k}", 1.0) for t in range(40, 0, -1) for k in (1, 2)
            )

        def moved(self, call: int, shots: int, repeat: int) -> np.ndarray:
            one = self.calls[call]
            return np.full(4, one.question / one.t**2 / shots)

    found = call_variances(Long(), shots=10, steps=5)  # type: ignore[arg-type]
    assert len(found.measured) == 10
    exact = [each.question / each.t**2 for each in Long().calls]
    assert found.final == pytest.approx(exact)
    with pytest.raises(InvalidData, match="use schedule 'uniform'"):
        call_variances(Sums(0, np.zeros(6), CHANCES, 4), shots=10)  # type: ignore[arg-type]


def test_costly_models_get_fewer_pilots():
    small = effort_of([StepCall(t, 1, "a", 1.0) for t in (3, 2, 1)], [4] * 3)
    assert (small.images, small.repeats, small.draws, small.steps) == (32, 2, 4, 16)
    names = [f"conv{k}" for k in range(4)]
    calls = [StepCall(t, 1, name, 49.0) for t in range(10, 0, -1) for name in names]
    large = effort_of(calls, [12] * len(calls))
    assert (large.images, large.repeats, large.draws, large.steps) == (4, 1, 1, 8)
    told = [StepCall(1, 1, "states", 34.0)]
    assert effort_of(told, [4], states=True).images < effort_of(told, [4]).images == 32


# --- plans --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two calls a step that read expectation values, of two bases and of one."""
    return write_reading_run(tmp_path_factory.mktemp("readings") / "run", num_steps=2)


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QU-Net on 2 x 2 pixels: four calls a step, each of another circuit."""
    return write_run(tmp_path_factory.mktemp("filters") / "qu", "qu_net", levels=2, num_steps=2)


def planned(run: Path, root: Path, target: str = "engine", **changes: object) -> RunPlan:
    options = {
        "num_images": 2,
        "shots": 100,
        "layout_trials": 1,
        "optimization_level": 1,
        **changes,
    }
    return make_plan(run, PlanConfig(targets=(target,), **options), root=root)  # type: ignore[arg-type]


def test_a_plan_records_the_shots_of_each_call_and_takes_no_more_executions(filters, tmp_path):
    plan, even = planned(filters, tmp_path, schedule="variance"), planned(filters, tmp_path)
    assert read_plan(plan.folder) == plan
    assert plan.total_shots <= even.total_shots == 100 * 52
    assert plan.total_shots > even.total_shots - 8  # one shot of the largest call is left at most
    shots = [each.shots for each in plan.calls.jobs]
    assert len(set(shots)) > 2
    choice = plan.shot_choice
    assert len(choice.variances) == len(plan.calls.shots_of_calls) == 8
    assert choice.power > 0
    assert choice.error < choice.uniform_error
    assert [each.shots for each in plan.steps] == [max(shots[:4]), max(shots[4:])]
    assert [each["shots"] for each in plan_summary(plan)["calls"]["jobs"]] == shots
    assert "if spread evenly" in "\n".join(plan_lines(plan))
    content = json.loads((plan.folder / "plan.json").read_text())
    assert content["content"]["schedule"] == "variance"
    again = planned(filters, tmp_path / "again", schedule="variance")
    assert again.run_id == plan.run_id  # the same pilots, to the bit


def test_a_precision_is_met_by_few_executions(readings, tmp_path):
    plan = planned(readings, tmp_path, schedule="precision", precision=0.03)
    assert plan.shot_choice.error <= 0.03
    assert plan.total_shots < planned(readings, tmp_path, shots=4096).total_shots
    with pytest.raises(InvalidOption, match=r"executions for each image.*less precision"):
        planned(readings, tmp_path, schedule="precision", precision=1e-7)


def test_seconds_limit_an_allocation_too(readings, tmp_path):
    device = "local:fake_nairobi"
    plan = planned(readings, tmp_path, device, schedule="variance", seconds=40.0)
    even = planned(readings, tmp_path, device, seconds=40.0)
    assert plan.total_seconds <= 40.0
    assert 0.9 * even.total_shots < plan.total_shots <= even.total_shots


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"tiles": "2", "target": "local:fake_nairobi"}, "tiles run rows.*use 'uniform'"),
        ({"primitive": "estimator"}, "Estimator chooses its own; use 'uniform'"),
    ],
)
def test_what_has_no_shots_of_its_own_is_one_line(readings, tmp_path, changes, text):
    with pytest.raises(InvalidOption, match=text) as caught:
        planned(readings, tmp_path, schedule="variance", **changes)
    assert "\n" not in str(caught.value)


def test_a_plan_whose_calls_have_two_numbers_of_shots_is_refused(readings, tmp_path):
    plan = planned(readings, tmp_path)
    jobs = plan.calls.jobs
    other = dataclasses.replace(jobs[0], shots=7)
    calls = dataclasses.replace(plan.calls, jobs=(other, *jobs[1:]))
    with pytest.raises(InvalidOption, match="uniform"):
        dataclasses.replace(plan, calls=calls)
    halves = [
        dataclasses.replace(
            jobs[0],
            part=part,
            shots=shots,
            name=f"step-{jobs[0].step:04d}-01-part-{part:02d}",
            calls=(dataclasses.replace(jobs[0].calls[0], first=part - 1, rows=1),),
        )
        for part, shots in ((1, 7), (2, 8))
    ]
    calls = dataclasses.replace(plan.calls, jobs=(*halves, *jobs[1:]))
    choice = planned(readings, tmp_path, schedule="variance").shot_choice
    with pytest.raises(InvalidOption, match="one number of shots"):
        dataclasses.replace(plan, calls=calls, schedule="variance", shot_choice=choice)
    fewer = dataclasses.replace(choice, variances=choice.variances[1:])
    with pytest.raises(InvalidOption, match="variances"):
        dataclasses.replace(plan, schedule="variance", shot_choice=fewer)
