import pytest

from qdm_qiskit.errors import TargetUnavailable, UnknownName
from qdm_qiskit.execution.factory import make_runner
from qdm_qiskit.execution.snapshots import backend_names, load_backend
from qdm_qiskit.execution.targets import Target, parse_target

GOOD = {
    "engine": Target("engine", "cpu"),
    "engine:cuda": Target("engine", "cuda"),
    "aer": Target("aer", "cpu"),
    "aer:gpu": Target("aer", "gpu"),
    "noisy:fake_torino": Target("noisy", "cpu", "fake_torino"),
    "local:fake_fez": Target("local", "cpu", "fake_fez"),
    "ibm:ibm_fez": Target("ibm", "qpu", "ibm_fez"),
    "ibm:Test-QPU.2": Target("ibm", "qpu", "Test-QPU.2"),
    "ibm:least_busy": Target("ibm", "qpu", "least_busy"),
}


@pytest.mark.parametrize(("text", "target"), GOOD.items())
def test_target_parses_and_prints_back(text, target):
    assert parse_target(text) == target
    assert str(target) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "There is no target ''; there are: aer, aer:gpu, engine"),
        ("engin", "Did you mean 'engine'?"),
        ("engine:gpu", "engine:cuda"),
        ("aer:cuda", "aer:gpu"),
        ("noisy", "as in noisy:fake_torino"),
        ("noisy:", "as in noisy:fake_torino"),
        ("noisy:fake_torinoo", "Did you mean 'fake_torino'?"),
        ("local:ibm_fez", "There is no device snapshot 'ibm_fez'"),
        ("ibm", "as in ibm:ibm_fez"),
        ("ibm:../fez", "as in ibm:ibm_fez"),
        ("ibm:ibm_fez; rm", "as in ibm:ibm_fez"),
        ("AER", "Did you mean 'aer'? There are: aer"),
    ],
)
def test_unknown_target_is_one_line_that_lists_what_exists(text, says):
    with pytest.raises(UnknownName) as caught:
        parse_target(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_snapshots_have_their_own_names():
    assert "fake_torino" in backend_names()
    assert list(backend_names()) == sorted(backend_names())
    assert load_backend("fake_torino").name == "fake_torino"


@pytest.mark.parametrize(
    "name",
    [
        "fake_tornio",
        "FakeTorino",
        "fakeTorino",
        "FAKE_TORINO",
        "fake-torino",
        "ibm_torino",
        "torino",
    ],
)
def test_unknown_snapshot_says_the_nearest(name):
    with pytest.raises(UnknownName, match="Did you mean 'fake_torino'"):
        load_backend(name)
    with pytest.raises(UnknownName, match="Did you mean 'fake_torino'"):
        parse_target(f"noisy:{name}")


@pytest.mark.parametrize("name", ["FakeTorino", "fake-torino", "torino", "ibmq_torino"])
def test_a_snapshot_in_other_letters_is_named_without_the_list_of_all(name):
    with pytest.raises(UnknownName) as caught:
        load_backend(name)
    told = f"There is no device snapshot '{name}'. Did you mean 'fake_torino'?"
    assert str(caught.value) == told


def test_the_name_of_a_qpu_says_where_the_qpu_is():
    with pytest.raises(UnknownName, match="target 'ibm:ibm_torino', by `qdm run plan`"):
        parse_target("noisy:ibm_torino")


@pytest.mark.parametrize("text", ["ibm:ibm_fez", "ibm:least_busy", "ibm:ibm_new"])
def test_no_runner_spends_qpu_time(text):
    with pytest.raises(TargetUnavailable, match=r"never spends QPU time; use 'local:fake_"):
        make_runner(text, seed=1)


def test_ibm_target_names_its_own_snapshot():
    with pytest.raises(TargetUnavailable, match="'local:fake_fez'"):
        make_runner("ibm:ibm_fez", seed=1)


def test_engine_runs_no_circuits():
    with pytest.raises(TargetUnavailable, match="'noisy:SNAPSHOT'"):
        make_runner("engine", seed=1)


def test_gpu_target_without_gpu_says_the_way_out():
    from qiskit_aer import AerSimulator

    if "GPU" in AerSimulator().available_devices():
        assert make_runner("aer:gpu", seed=1).backend is not None
    else:
        with pytest.raises(TargetUnavailable, match="or use 'aer'"):
            make_runner("aer:gpu", seed=1)
