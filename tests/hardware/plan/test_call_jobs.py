"""Jobs of calls: every row once, no job beyond the limits, and seconds that decide the shots."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.hardware.plan.call_circuits import CallCircuits
from qdm_qiskit.hardware.plan.call_jobs import AskedCall, Room, affordable_shots, jobs_of
from qdm_qiskit.hardware.plan.calls import CallsPlan, PlannedCircuit, SamplerPlan
from qdm_qiskit.hardware.plan.qpu_seconds import Timing
from qdm_qiskit.hardware.plan.types import CircuitPlan

CLOCK = Timing(
    overhead_seconds=2.0, rep_delay_seconds=1e-3, circuit_seconds=1e-4, calibration_seconds=0.0
)
CONTENTS = ("a" * 64, "b" * 64)


def circuit(content: str, letters: str, parameters: int) -> PlannedCircuit:
    return PlannedCircuit(
        content=content,
        letters=letters,
        seconds=1e-4 * parameters,
        plan=CircuitPlan(
            qubits=2,
            parameters=tuple(f"x_{k:04d}" for k in range(parameters)),
            depth=3,
            two_qubit_gates=1,
            expected_success=None,
            idle_success=None,
            measured_qubits=(0, 1),
            physical_qubits=None,
            transpiler_seed=0,
            optimization_level=1,
        ),
    )


FOUND = CallCircuits(
    circuits=(),
    planned=(
        circuit(CONTENTS[0], "", 2),
        circuit(CONTENTS[1], "XX", 3),
        circuit(CONTENTS[1], "ZZ", 3),
    ),
    timings=(),
)
SAMPLER = SamplerPlan(
    name="process",
    scheduler="process",
    package="qdm_qiskit",
    version="0",
    module="m:p",
    options="{}",
    num_inference_steps=None,
)

questions = st.lists(
    st.lists(st.tuples(st.sampled_from(CONTENTS), st.integers(1, 40)), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
)


def asked(question: list[tuple[str, int]]) -> list[AskedCall]:
    return [AskedCall(f"layer{k}", content, rows) for k, (content, rows) in enumerate(question)]


@given(
    steps=st.lists(questions, min_size=1, max_size=3),
    shots=st.integers(1, 50),
    executions=st.integers(100, 2000),
    values=st.integers(6, 100),
    seconds=st.one_of(st.none(), st.integers(3, 20)),
    circuits=st.one_of(st.none(), st.integers(4, 40)),
)
def test_every_row_is_in_one_job_and_no_job_outgrows_the_limits(
    steps, shots, executions, values, seconds, circuits
):
    times = list(range(len(steps), 0, -1))
    work = [[asked(each) for each in step] for step in steps]
    room = Room(executions=executions, seconds=seconds, values=values, circuits=circuits)
    jobs = jobs_of(times, work, FOUND, CLOCK, shots, room)
    for t, step in zip(times, work, strict=True):
        for number, question in enumerate(step, start=1):
            mine = [job for job in jobs if (job.step, job.number) == (t, number)]
            for call in question:
                parts = [c for job in mine for c in job.calls if c.name == call.name]
                rows = [row for c in parts for row in range(c.first, c.first + c.rows)]
                assert rows == list(range(call.rows))
    for job in jobs:
        assert job.circuits * shots <= executions
        assert circuits is None or job.circuits <= circuits
        numbers = [
            (c.rows, len(FOUND.planned[k].plan.parameters)) for c in job.calls for k in c.circuits
        ]
        assert sum(rows * each for rows, each in numbers) <= values
        assert seconds is None or job.seconds <= seconds + 1e-9
        each = [
            c.rows * shots * (1e-3 + FOUND.planned[k].seconds)
            for c in job.calls
            for k in c.circuits
        ]
        assert job.seconds == pytest.approx(2.0 + math.fsum(each))
    assert len({job.name for job in jobs}) == len(jobs)


def test_a_row_that_outgrows_a_job_is_refused_with_what_it_takes():
    work = [[asked([(CONTENTS[1], 1)])]]
    for room, text in (
        (Room(executions=100, seconds=None), "200 executions .* a job holds 100"),
        (Room(executions=None, seconds=2.1), "QPU seconds, and max_execution_seconds"),
        (Room(executions=None, seconds=None, values=5), "6 values of parameters"),
        (Room(executions=None, seconds=None, circuits=1), "2 circuits, and a job holds 1"),
    ):
        with pytest.raises(InvalidOption, match=text):
            jobs_of([1], work, FOUND, CLOCK, 100, room)


@pytest.mark.parametrize("seconds", [12.5, 30.0, 500.0])
def test_seconds_allow_so_many_shots_and_no_more(seconds):
    work = [[asked([(CONTENTS[0], 7)]), asked([(CONTENTS[1], 3)])]] * 2
    room = Room(executions=2000, seconds=None)

    def total(shots: int) -> float:
        return math.fsum(j.seconds for j in jobs_of([2, 1], work, FOUND, CLOCK, shots, room))

    shots = affordable_shots([2, 1], work, FOUND, CLOCK, room, seconds, 10_000)
    assert total(shots) <= seconds
    if shots == 1000:  # one more, and a row of two bases outgrows a job
        with pytest.raises(InvalidOption, match="2002 executions"):
            total(shots + 1)
    else:
        assert total(shots + 1) > seconds
    with pytest.raises(InvalidOption, match="One shot of each row takes"):
        affordable_shots([2, 1], work, FOUND, CLOCK, room, 8.0, 10_000)


def test_steps_of_equal_work_are_one_row_of_the_table():
    work = [[asked([(CONTENTS[0], 4)]), asked([(CONTENTS[1], 2)])]] * 3
    jobs = jobs_of([9, 5, 1], work, FOUND, CLOCK, 10, Room(executions=None, seconds=None))
    plan = CallsPlan(circuits=FOUND.planned, jobs=jobs, sampler=SAMPLER)
    rows = plan.table()
    assert [row[:4] for row in rows] == [("t = 9 .. 1, 1", 3, 4, 10), ("t = 9 .. 1, 2", 3, 4, 10)]
    assert math.fsum(row[4] for row in rows) == pytest.approx(math.fsum(j.seconds for j in jobs))
    assert plan.measured_qubits == (0, 1)
