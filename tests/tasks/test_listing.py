"""`qdm.parts` and `qdm parts`: every name of every kind, and a broken package beside them."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import pytest

import qdm_qiskit as qdm
from qdm_qiskit import doors
from qdm_qiskit.errors import InvalidArgument, UnknownName
from qdm_qiskit.tasks import listing
from tests.helpers import leave_package

CODE = '''
from qdm_qiskit.circuits import CircuitSpec, ExactLoader
from qdm_qiskit.data import Dataset
from qdm_qiskit.evaluation import Metric
from qdm_qiskit.sampling import Sampler
from qdm_qiskit.sampling.samplers import ProcessSampler
from qiskit_aer.noise import NoiseModel, depolarizing_error

class Brightness(Metric):
    name, title, better = "brightness", "brightness, off by", "neither"
    def measure(self, sets):
        return None

class Halves(Sampler):
    """Half of each step.

    More of it.
    """
    name = "halves"
    def timesteps(self, process, steps):
        return [1]
    def step(self, x, prediction, here):
        return x

class Silent(Halves):
    name = "silent"

class Stripes(Dataset):
    name, licence, source, description = "stripes", "CC0", "drawn", "Stripes, 8 x 8"
    def load(self):
        raise AssertionError("a list loads no images")

def tiling(num_qubits, blocks):
    """Tiling as :class:`.ExactLoader` has it, ``tiling:BLOCKS``."""
    return ExactLoader(num_qubits)

def acme(device):
    """Acme's chips."""
    raise AssertionError("a list makes no provider")

def line():
    noise = NoiseModel(basis_gates=["rz", "sx", "cz"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.01, 2), ["cz"])
    from qdm_qiskit.execution.devices import make_device
    return make_device(noise, name="line", coupling_map=[(0, 1), (1, 2)])
'''
POINTS = """
[qdm_qiskit.metric]
brightness = theirs:Brightness
broken-metric = theirs:absent
[qdm_qiskit.sampler]
halves = theirs:Halves
silent = theirs:Silent
[qdm_qiskit.dataset]
stripes = theirs:Stripes
[qdm_qiskit.loader]
tiling = theirs:tiling
number = theirs:CODE
[qdm_qiskit.provider]
acme = theirs:acme
[qdm_qiskit.device]
line = theirs:line
[qdm_qiskit.model]
no-model = theirs:Halves
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A package with a part of most kinds, some of them broken."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("QDM_HOME", str(tmp_path / "home"))
    leave_package(tmp_path, "theirs", POINTS, CODE)
    yield tmp_path
    for name in ("theirs", "others"):
        sys.modules.pop(name, None)
    doors._outside.cache_clear()


@pytest.fixture
def command(capsys):
    """Run `qdm parts` in this process."""
    from qdm_qiskit.cli.main import main

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["parts", *arguments])
        out, err = capsys.readouterr()
        return left.value.code, out, err

    return run


def by_name(kind):
    return {part.name: part for part in qdm.parts(kind)}


def test_every_kind_has_its_door():
    assert tuple(listing.DOORS) == doors.KINDS
    assert [listing._door(kind).kind for kind in doors.KINDS] == [*doors.KINDS]
    assert set(listing._BUILT_IN_PROVIDERS) == set(listing._door("provider").built_in)


def test_all_parts_are_those_of_the_kinds_in_their_order():
    found = qdm.parts()
    assert list(dict.fromkeys(part.kind for part in found)) == [*doors.KINDS]
    assert found == [part for kind in doors.KINDS for part in qdm.parts(kind)]


def test_parts_of_this_package_say_what_they_are_and_none_is_broken():
    for part in qdm.parts():
        assert part.broken is None
        assert part.summary, part
        assert "`" not in part.summary.replace("`qdm devices list`", ""), part
        package = "qiskit-ibm-runtime" if part.kind == "device" else "qdm_qiskit"
        assert (part.package, part.version) == (package, version(package))


def test_names_are_those_that_the_commands_take():
    from qdm_qiskit.circuits import TEMPLATES
    from qdm_qiskit.execution.snapshots import backend_names
    from qdm_qiskit.models import MODELS

    assert tuple(by_name("circuit")) == tuple(TEMPLATES)
    assert tuple(by_name("model")) == tuple(MODELS)
    assert tuple(by_name("device")) == backend_names()


@pytest.mark.parametrize(
    ("kind", "name", "summary"),
    [
        ("metric", "brightness", "brightness, off by"),
        ("sampler", "halves", "Half of each step."),
        ("sampler", "silent", ""),  # Halves' docstring is not its own
        ("dataset", "stripes", "Stripes, 8 x 8"),
        ("loader", "tiling", "Tiling as ExactLoader has it, tiling:BLOCKS."),
        ("provider", "acme", "Acme's chips."),
        ("device", "line", "3 qubits."),
    ],
)
def test_a_part_of_another_package(theirs, kind, name, summary):
    part = by_name(kind)[name]
    assert (part.summary, part.package, part.version) == (summary, "theirs", "1.5")
    assert part.broken is None


def test_a_saved_device(theirs):
    from qdm_qiskit.execution.saved_devices import add_device

    path = qdm.save_device("line", theirs / "line.json")
    add_device("mine", path)
    part = by_name("device")["mine"]
    assert (part.package, part.version, part.summary) == ("saved", "", "3 qubits.")
    assert part.module.endswith("mine.json")


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("metric", "broken-metric", "no attribute 'absent'"),
        ("model", "no-model", "a model is a class derived from"),
        ("loader", "number", "has no attribute 'CODE'"),
    ],
)
def test_a_broken_part_leaves_the_others(theirs, kind, name, why):
    found = by_name(kind)
    assert why in found[name].broken
    assert (found[name].package, found[name].summary) == ("theirs", "")
    assert [part.name for part in found.values() if part.broken] == [name]


def test_two_packages_with_one_name(theirs):
    leave_package(theirs, "others", "[qdm_qiskit.metric]\nbrightness = others:x\n", "x = 1")
    part = by_name("metric")["brightness"]
    assert (part.package, part.version) == ("", "")
    assert "others and theirs both bring a metric" in part.broken


def test_a_kind_that_is_none():
    with pytest.raises(UnknownName, match=r"kind of part 'metrics'.*Did you mean 'metric'\?"):
        qdm.parts("metrics")
    with pytest.raises(InvalidArgument, match="kind"):
        qdm.parts(3)


def test_the_command_lists_a_kind_one_a_line(theirs, command):
    code, out, err = command("metric")
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines] == [*by_name("metric")]
    assert lines[-2].split(None, 3) == ["brightness", "theirs", "1.5", "brightness, off by"]
    assert lines[-1].split(None, 3) == ["broken-metric", "theirs", "1.5", "cannot be used"]
    assert err.count("\n") == 1
    assert err.startswith("note: Metric 'broken-metric' of package theirs cannot be loaded")


def test_the_command_heads_each_kind_when_it_lists_all(command):
    code, out, err = command()
    blocks = [block.splitlines() for block in out.strip().split("\n\n")]
    assert (code, err) == (0, "")
    assert [block[0] for block in blocks] == [*doors.KINDS]
    assert sum(len(block) - 1 for block in blocks) == len(qdm.parts())


def test_the_command_in_json(theirs, command):
    code, out, err = command("metric", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["brightness"] == {
        "kind": "metric",
        "name": "brightness",
        "summary": "brightness, off by",
        "package": "theirs",
        "version": "1.5",
        "module": "theirs:Brightness",
        "broken": None,
    }
    assert rows["broken-metric"]["broken"] in err


def test_the_command_refuses_another_kind(command):
    code, _, err = command("metrics")
    assert code == 2
    assert "Did you mean 'metric'?" in err
