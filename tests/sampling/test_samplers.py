"""Samplers as objects: the chains of before to the bit, samplers of one's own, what theirs do wrong."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import GaussianChain, NoisePrediction
from qdm_qiskit.errors import (
    InvalidArgument,
    InvalidData,
    InvalidExtension,
    InvalidOption,
    QdmError,
)
from qdm_qiskit.sampling import (
    SAMPLERS,
    Ask,
    ProcessSampler,
    QDMPipeline,
    Sampler,
    SamplingConfig,
    find_sampler,
    sample,
)
from qdm_qiskit.sampling.chain import Chain, checked_times
from qdm_qiskit.sampling.schedulers import SCHEDULERS, planned_chain, scheduled_chain
from tests.cli.conftest import Qdm, qdm  # noqa: F401 (a fixture)
from tests.helpers import generator
from tests.sampling.conftest import write_run
from tests.sampling.kept_chains import FILE, cases, name_of, walked
from tests.test_doors import package  # noqa: F401 (a fixture)

NOISE = {"model": "q_dense", "process": "gaussian", "goal": "noise", "num_steps": 6, "depth": 1}


class Euler(Sampler):
    """Euler's steps of the ODE in s = sqrt(1/alpha_bar - 1), written from its formula alone."""

    name = "euler"

    def timesteps(self, process, steps):
        return np.linspace(process.num_steps, 1, steps or process.num_steps).round().astype(int)

    def step(self, x, prediction, here):
        a, b = here.alpha_bar, here.alpha_bar_following
        y = x / math.sqrt(a) + (math.sqrt(1 / b - 1) - math.sqrt(1 / a - 1)) * prediction
        return math.sqrt(b) * y


def test_chains_are_those_of_before():
    """To the bit on the processor that wrote them; others round otherwise."""
    with np.load(FILE) as old:
        assert set(old.files) == {name_of(case) for case in cases()}
        for case in cases():
            digits = 1e-5 if case[-1] == torch.float32 else 1e-12
            np.testing.assert_allclose(
                walked(*case), old[name_of(case)], digits, digits, err_msg=name_of(case)
            )


def test_built_in_samplers_stand_behind_the_door():
    assert SAMPLERS.names() == SCHEDULERS
    for name in SCHEDULERS:
        assert SAMPLERS.get(name).name == name
        assert SAMPLERS.origin(name).package == "qdm_qiskit"


def walk(sampler, *, steps=None, process=None, **options):
    process = process or NoisePrediction(10)
    x = process.start((2, 1, 2, 2), generator(0))
    return scheduled_chain(
        process, lambda x, t: 0.3 * x, x, generator, scheduler=sampler, steps=steps, **options
    )


@pytest.mark.parametrize("steps", [None, 4, 1])
def test_euler_is_ddim_on_the_same_times(steps):
    """DDIM with eta = 0 is Euler's method in these coordinates (its paper, section 4.3)."""
    process = GaussianChain(10, "noise")  # whose x_0 DDIM does not clamp
    x = process.start((2, 1, 2, 2), generator(0)).double()

    class SameTimes(Euler):
        def timesteps(self, process, steps):
            return planned_chain(process, "ddim", steps)[1]

    def path(sampler):
        states = []
        scheduled_chain(
            process,
            lambda x, t: 0.5 + 0.05 * x - 0.01 * t,
            x,
            generator,
            scheduler=sampler,
            steps=steps,
            on_step=lambda left, x: states.append(x),
        )
        return torch.stack(states)

    torch.testing.assert_close(path(SameTimes()), path("ddim"), rtol=1e-9, atol=1e-12)


def test_one_object_serves_two_chains_at_once():
    """What a multistep solver looks back on belongs to the chain, not to the sampler."""
    solver, process = find_sampler("dpm-solver++"), NoisePrediction(10)
    times = checked_times(solver, process, 5)
    starts = [process.start((2, 1, 2, 2), generator(k)) for k in range(2)]
    alone = [
        scheduled_chain(process, lambda x, t: 0.3 * x, x, generator, scheduler=solver, steps=5)
        for x in starts
    ]
    chains = [Chain(process, solver, times, x, generator) for x in starts]
    for _ in times:
        for chain in chains:
            x, _ = chain.question
            assert chain.advance(0.3 * x)
    assert all(chain.question is None for chain in chains)
    for chain, wanted in zip(chains, alone, strict=True):
        assert torch.equal(process.to_images(chain.x).clamp(0, 1), wanted)


def test_memory_holds_as_many_steps_as_asked_for():
    seen = []

    class Reader(Euler):
        memory = 2

        def step(self, x, prediction, here):
            seen.append([each.t for each in here.past])
            for each in here.past:
                assert torch.equal(each.prediction, 0.3 * each.x)
            return super().step(x, prediction, here)

    walk(Reader(), steps=4)
    assert seen == [[], [10], [10, 7], [7, 4]]


def test_memory_holds_the_states_of_the_chain_and_not_those_that_were_tried():
    seen, walked_through = [], []

    class Curious(Euler):
        memory = 1

        def step(self, x, prediction, here):
            if not here.tried:
                walked_through.append(x)
                return Ask(x + 1, here.t)
            assert torch.equal(here.tried[0].prediction, 0.3 * (x + 1))
            seen.extend(each.x for each in here.past)
            return super().step(x, prediction, here)

    walk(Curious(), steps=4)
    assert len(seen) == 3
    assert all(map(torch.equal, seen, walked_through))


def test_noise_of_a_step_is_addressed_by_its_time():
    class Noisy(Euler):
        def __init__(self, draws):
            self.draws = draws

        def step(self, x, prediction, here):
            for _ in range(self.draws):
                noise = here.normal(x)
            return super().step(x, prediction, here) + 0 * noise

    one, three = walk(Noisy(1), steps=3), walk(Noisy(3), steps=3)
    assert torch.equal(one, three)


def test_a_sampler_of_ones_own_needs_no_registration(make_run):
    run = make_run(**NOISE)
    config = SamplingConfig(num_images=2, num_inference_steps=4, seed=3)
    own = sample(run, config, sampler=Euler())
    assert own.trajectory.shape[0] == 5
    named = own.manifest["sampler"]
    assert named["name"] == "euler"
    assert named["module"].endswith("test_samplers:Euler")
    assert own.manifest["sampling"]["num_inference_steps"] == 4
    by_class = sample(run, config, sampler=Euler)
    np.testing.assert_array_equal(own.images, by_class.images)
    told = []
    piped = QDMPipeline(run)(
        2, 4, scheduler=Euler(), callback_on_step_end=lambda *step: told.append(step[1:3])
    )
    assert piped.images.shape == own.images.shape
    assert told == [(1, 3), (2, 2), (3, 1), (4, 0)]


def test_a_sampler_of_ones_own_on_circuits_with_shots(make_run):
    run = make_run()  # whose process is no Gaussian one

    class Half(Sampler):
        name = "half"
        takes = "own"

        def timesteps(self, process, steps):
            return [3, 1]

        def step(self, x, prediction, here):
            return (x + prediction) / 2

    config = SamplingConfig(target="aer", shots=64, num_images=2)
    samples = sample(run, config, sampler=Half())
    assert [each.step for each in samples.records] == [3, 1]
    assert samples.trajectory.shape[0] == 3


def test_own_predictions_by_the_process_itself():
    process = GaussianChain(10, "data")
    x = process.start((2, 1, 2, 2), generator(0))
    both = [
        scheduled_chain(process, lambda x, t: 0.5 * x, x, generator, scheduler=name)
        for name in (ProcessSampler(), "process")
    ]
    assert torch.equal(*both)


def test_options_of_a_sampler():
    @dataclass(frozen=True)
    class Loud(Euler):
        name: ClassVar[str] = "loud"
        eta: float = 0.25

    assert find_sampler(Loud()).eta == 0.25
    assert find_sampler(Loud(), 0.5).eta == 0.5
    assert find_sampler("ddim", 0.5).eta == 0.5
    assert find_sampler("ddim").eta == 0.0
    with pytest.raises(InvalidOption, match=r"eta is 0 to 1.*'euler'"):
        walk(Euler(), eta=0.5)


def times_of(value):
    class Times(Euler):
        name = "times"

        def timesteps(self, process, steps):
            return value

    return Times()


@pytest.mark.parametrize(
    ("times", "got"),
    [
        ([5, 5, 1], "got 5 after 5 for step 2"),
        ([3, 7, 1], "got 7 after 3 for step 2"),
        ([11, 4], "got 11 .*for step 1"),
        ([4, 0], "got 0 .*for step 2"),
        ([4, -1], "got -1 .*for step 2"),
        ([4.0, 2.0], "got 4.0 .*for step 1"),
        ([True], "got True .*for step 1"),
        ([], "got none"),
    ],
)
def test_times_that_no_chain_can_visit(times, got):
    with pytest.raises(InvalidData, match=f"'times' has times that fall from at most 10.*{got}"):
        walk(times_of(times))


def stepping(function):
    class Own(Euler):
        name = "own"

        def step(self, x, prediction, here):
            return function(x, here)

    return Own()


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (lambda x, here: x[:1], InvalidData, r"shape and type.*got \(1, 1, 2, 2\).*step t=10"),
        (lambda x, here: x.double(), InvalidData, r"float32; got .*float64 at step t=10"),
        (lambda x, here: x.numpy(), InvalidData, r"got a ndarray.*at step t=10"),
        (lambda x, here: None, InvalidData, r"got None at step t=10"),
        (lambda x, here: x / 0, InvalidData, r"'own' gives finite states.*step t=10"),
        (
            lambda x, here: x * (math.nan if here.t == 7 else 1),
            InvalidData,
            r"'own' gives finite states.*step t=7",
        ),
        (lambda x, here: 1 / 0, InvalidExtension, r"'own' fails at step t=10: ZeroDivisionError"),
        (lambda x, here: Ask(x, here.t), InvalidData, r"more than 16 predictions at step t=10"),
        (lambda x, here: Ask(x, 11), InvalidData, r"times t = 1 to 10, got 11 at step t=10"),
        (lambda x, here: Ask(x[:1], 3), InvalidData, r"shape and type.*step t=10"),
    ],
)
def test_steps_that_go_wrong(function, kind, message):
    with pytest.raises(kind, match=message) as error:
        walk(stepping(function))
    assert "\n" not in str(error.value)
    assert "'own'" in str(error.value)


def test_a_failure_while_listing_times():
    class Broken(Euler):
        def timesteps(self, process, steps):
            raise RuntimeError("no\ntimes")

    with pytest.raises(
        InvalidExtension, match=r"'euler' fails listing its times: .*: no times"
    ) as e:
        walk(Broken())
    assert isinstance(e.value.__cause__, RuntimeError)


def test_what_fits_is_asked_of_an_object_too():
    with pytest.raises(InvalidOption, match="'euler' needs a model that predicts the noise"):
        walk(Euler(), process=GaussianChain(10, "data"))
    with pytest.raises(InvalidOption, match="1 to 10, got 11"):
        walk(Euler(), steps=11)


class Nameless(Sampler):
    def timesteps(self, process, steps):
        return [1]

    def step(self, x, prediction, here):
        return x


class Half(Sampler):
    name = "half"

    def timesteps(self, process, steps):
        return [1]


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Half, "Half lacks step"),
        (Nameless, "lacks its name"),
        (Nameless(), "lacks its name"),
        (3, "`sampler` is a name or a Sampler"),
        (int, "`sampler` is a Sampler"),
    ],
)
def test_no_samplers(sampler, message):
    with pytest.raises(InvalidArgument, match=message):
        find_sampler(sampler)


def test_two_samplers_at_once(make_run):
    config = SamplingConfig(num_images=1, scheduler="ddim")
    with pytest.raises(InvalidOption, match=r"sampler is given.*'ddim' besides"):
        sample(make_run(**NOISE), config, sampler=Euler())


CODE = """
from qdm_qiskit.sampling.discrete import DDIM
from tests.sampling.test_samplers import Euler

class Theirs(Euler):
    name = "theirs"

half_eta = DDIM(eta=0.5)
nothing = 3
"""


def test_a_package_brings_one(package, make_run):  # noqa: F811
    points = "theirs = packaged:Theirs\nhalf-eta = packaged:half_eta\nnothing = packaged:nothing\n"
    package("packaged", f"[qdm_qiskit.sampler]\n{points}", CODE)
    run = make_run(**NOISE)
    common = {"num_images": 2, "num_inference_steps": 4}
    named = sample(run, SamplingConfig(scheduler="theirs", **common))
    assert named.manifest["sampler"] == {
        "name": "theirs",
        "package": "packaged",
        "version": "1.5",
        "module": "packaged:Theirs",
    }
    given = sample(run, SamplingConfig(**common), sampler=Euler())
    np.testing.assert_array_equal(named.images, given.images)
    ours = sample(run, SamplingConfig(scheduler="ddim", eta=0.5, **common))
    theirs = sample(run, SamplingConfig(scheduler="half-eta", **common))
    np.testing.assert_array_equal(ours.images, theirs.images)
    with pytest.raises(
        InvalidExtension, match=r"'packaged:nothing' of package packaged is no sampler"
    ):
        sample(run, SamplingConfig(scheduler="nothing", **common))
    with pytest.raises(QdmError, match=r"scheduler is one of process.*half-eta.*got 'thiers'"):
        sample(run, SamplingConfig(scheduler="thiers", **common))


def test_a_package_s_sampler_and_metric_from_the_command_line(package, qdm: Qdm, tmp_path):  # noqa: F811
    code = CODE + "\nfrom tests.evaluation.test_metrics import Brightness\n"
    points = "[qdm_qiskit.sampler]\ntheirs = packaged:Theirs\n"
    points += "[qdm_qiskit.metric]\nbrightness = packaged:Brightness\n"
    package("packaged", points, code)
    run = write_run(tmp_path / "run", **{**NOISE, "image_size": 4})
    chain = ("--sampler", "theirs", "--steps", "3")
    done = qdm("sample", run, *chain, "--num-images", "2", "--quiet", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["sampler"]["package"] == "packaged"
    with np.load(tmp_path / "out" / "samples.npz") as arrays:
        assert len(arrays["trajectory"]) == 4
    old = qdm(
        *("sample", run, "--scheduler", "theirs", "--steps", "3", "--num-images", "2", "--quiet"),
        *("--out", tmp_path / "old"),
    )
    assert old.code == 0, old.err
    measured = qdm(
        *("evaluate", run, *chain, "--metric", "brightness", "--metric", "psnr", "--count", "6"),
        *("--resamples", "20", "--json", "--quiet", "--out", tmp_path / "table"),
    )
    assert measured.code == 0, measured.err
    table = json.loads(measured.out)
    assert table["metrics"]["brightness"]["package"] == "packaged"
    for row in table["rows"]:
        assert set(row["metrics"]) == {"brightness", "psnr"}
        assert row["metrics"]["brightness"]["low"] < row["metrics"]["brightness"]["high"]
    unknown = qdm("evaluate", run, "--metric", "brightnes", "--quiet")
    assert unknown.code == 2
    assert "Did you mean 'brightness'?" in unknown.err
