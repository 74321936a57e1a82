"""A package of somebody else, installed by pip: each of its eight parts, by name and as an object."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.helpers import QDM, ROOT

SOURCES = Path(__file__).with_name("acme")
STEPS = 2
TINY = ("num_steps=2", "batch_size=16", "baseline=false", "sample_every=0", "learning_rate=0.05")
SETTINGS = [word for each in TINY for word in ("--set", each)]
SHOTS = ("--shots", 400, "--num-images", 2, "--layout-trials", 1)
THEIRS = {"package": "acme-qdm", "version": "0.4.2"}
QUICK = {"poll_seconds": 0.01, "first_pause_seconds": 0.01, "lookup_pauses_seconds": [0.0, 0.01]}
SERVER = """
import contextlib, io, json, sys
from qdm_qiskit.cli.main import main
asked, told = sys.stdin, sys.stdout
for line in asked:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(json.loads(line))
        except SystemExit as left:
            code = left.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=told, flush=True)
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


@dataclass
class Acme:
    """An environment in which the package is installed, and a process there that runs `qdm`."""

    folder: Path
    env: dict[str, str]
    process: subprocess.Popen[str]

    def qdm(self, *words: object, code: int = 0) -> Done:
        """Run the command in the process, which has imported what takes seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(each) for each in words]) + "\n")
        self.process.stdin.flush()
        done = Done(*json.loads(self.process.stdout.readline()))
        assert done.code == code, done
        return done

    def command(self, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command itself."""
        return self._run([QDM, *map(str, words)], env)

    def python(self, code: str, **env: str) -> Any:
        """Run a script and return what it prints last, which is JSON."""
        done = self._run([sys.executable, "-c", code], env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def _run(self, words: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=self.folder, env=self.env | env, capture_output=True, text=True, check=False
        )

    def json(self, *path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.folder.joinpath(*path).read_text())
        return found

    def jobs(self) -> list[str]:
        """Ids of all jobs that the service was sent, as often as it was sent them."""
        order = self.folder / "service" / "order"
        return order.read_text().split() if order.is_file() else []

    def forget_jobs(self) -> None:
        shutil.rmtree(self.folder / "service")
        (self.folder / "service").mkdir()


def environment(folder: Path, *places: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (*places, ROOT))),
        "QDM_HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "ACME_SERVICE": str(folder / "service"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
    }


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    """Install the package with pip into a folder of its own, and train its model and its circuit."""
    folder = tmp_path_factory.mktemp("outside")
    shutil.copytree(SOURCES, folder / "sources")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", folder / "site",
         folder / "sources"],
        check=True,
    )  # fmt: skip
    (folder / "service").mkdir()
    (folder / "hw").mkdir()
    (folder / "hw" / "service.json").write_text(json.dumps(QUICK))
    env = environment(folder, folder / "site")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        made = Acme(folder, env, process)
        for name in ("acme-wave", "acme-ring"):
            loader = ["--loader", "acme-sparing:0.02"] if name == "acme-wave" else []
            made.qdm("train", "--model", name, "--dataset", "acme-stripes", *SETTINGS, *loader,
                     "--set", "epochs=6", "--out", name, "--quiet")  # fmt: skip
        yield made


def test_each_list_names_the_part_and_its_package(acme):
    assert "acme-stripes: Brought by package acme-qdm 0.4.2. Licence: CC0." in (
        acme.qdm("data", "list").out
    )
    models = acme.qdm("models", "list").out
    assert "acme-wave: Acme (2026), from acme-qdm 0.4.2" in models
    assert "acme-ring: acme-qdm 0.4.2\n" in models
    circuits = " ".join(acme.qdm("circuits", "list").out.split())
    assert "Two measured qubits of pixels, and a helper that is told the time. From package" in (
        circuits
    )
    devices = json.loads(acme.qdm("devices", "list", "--json").out)
    assert {"name": "acme-chip", "from": "acme-qdm", "version": "0.4.2",
            "place": "acme_qdm.devices:chip"} in devices  # fmt: skip
    # Loaders, samplers, metrics and providers are named where a wrong one is refused.
    for words, name in (
        (("train", "--model", "acme-wave", "--loader", "acme", "--out", "no"), "acme-sparing"),
        (("sample", "acme-wave", "--sampler", "acme", "--out", "no"), "acme-damped"),
        (("evaluate", "acme-wave", "--metric", "acme", "--out", "no"), "acme-contrast"),
        (("run", "plan", "acme-wave", "--target", "acm:ring", "--root", "no"), "acme:"),
    ):
        error = acme.qdm(*words, code=2).err
        assert name in error.splitlines()[-1], error


def test_the_model_and_the_circuit_learn_and_say_whose_they_are(acme):
    parts = {
        "acme-wave": {"model": "acme_qdm.models:Wave", "loader": "acme_qdm.loaders:Sparing"},
        "acme-ring": {"circuit": "acme_qdm.circuits:ring"},
    }
    for name, modules in parts.items():
        config = acme.json(name, "config.json")
        expected = {kind: {**THEIRS, "module": module} for kind, module in modules.items()}
        assert config["origins"] == expected
        assert config["record"]["origin"] == "acme-qdm 0.4.2"
        lines = (acme.folder / name / "metrics.jsonl").read_text().splitlines()
        losses = [json.loads(line)["test_loss"] for line in lines]
        assert len(losses) == 6
        assert losses[-1] < 0.8 * losses[0]


def test_samples_on_the_noise_of_the_device_by_the_sampler_and_the_loader(acme):
    where = ("--target", "noisy:acme-chip", *SHOTS, "--sampler", "acme-damped")
    acme.qdm("sample", "acme-wave", *where, "--out", "noisy", "--quiet")
    acme.qdm("sample", "acme-wave", "--num-images", 2, "--sampler", "acme-damped", "--out", "exact",
             "--quiet")  # fmt: skip
    acme.qdm("sample", "acme-wave", "--num-images", 2, "--out", "own", "--quiet")
    noisy, exact, own = (
        np.load(acme.folder / each / "samples.npz") for each in ("noisy", "exact", "own")
    )
    assert noisy["images"].shape == (2, 1, 2, 2)
    assert np.array_equal(exact["trajectory"][0], own["trajectory"][0])  # the same noise
    # Damped's step: a quarter of the state stays.
    damped = 0.25 * own["trajectory"][0] + 0.75 * own["trajectory"][1]
    assert exact["trajectory"][1] == pytest.approx(damped, abs=1e-5)
    # 400 shots, 2 steps of gain 2, 1 % of errors a gate: near the exact images, and far from noise.
    assert 0 < np.abs(noisy["images"] - exact["images"]).max() < 0.3
    manifest = acme.json("noisy", "manifest.json")
    assert manifest["sampler"] == {
        "name": "acme-damped", **THEIRS, "module": "acme_qdm.samplers:Damped",
        "options": {"eta": 0.25},
    }  # fmt: skip
    assert manifest["run"]["origins"]["loader"]["package"] == "acme-qdm"
    device = manifest["device"]
    assert device["runner"]["target"].startswith("noisy:acme-chip@")
    assert device["origin"] == {**THEIRS, "module": "acme_qdm.devices:chip"}
    assert 0 < device["circuit"]["expected_success"] < 1
    eta = ("--eta", 0.5, "--num-images", 1, "--sampler", "acme-damped")
    acme.qdm("sample", "acme-ring", *eta, "--out", "half", "--quiet")
    assert acme.json("half", "manifest.json")["sampler"]["options"] == {"eta": 0.5}


def test_the_report_names_the_device_and_counts_the_loader(acme):
    words = ("report", "transpile", "acme-wave", "--backend", "acme-chip", "--trials", 1)
    acme.qdm(*words, "--out", "cost", "--quiet")
    found = acme.json("cost", "acme-wave.json")["backends"][0]
    assert found["backend"].startswith("acme-chip@")
    assert found["cost"]["loader"]["two_qubit_count"] >= 2  # 3 rotations of 2 qubits
    assert found["cost"]["total"]["two_qubit_count"] >= 4


@pytest.mark.slow
def test_evaluation_prints_the_metric_with_its_interval(acme):
    words = ("evaluate", "acme-wave", "acme-ring", "--count", 16, "--resamples", 30, "--metric",
             "acme-contrast", "--metric", "psnr", "--out", "quality", "--quiet")  # fmt: skip
    table = acme.qdm(*words).out
    [line] = (each for each in table.splitlines() if "contrast, off by" in each)
    assert line.count("[") == 4  # real images, noise, two runs
    report = acme.json("quality", "evaluation.json")
    assert report["reference"]["dataset"] == "acme-stripes"
    assert "acme-qdm" in json.dumps(report["metrics"]["acme-contrast"])
    real, *_ = (row["metrics"]["acme-contrast"] for row in report["rows"])
    assert real["low"] < real["estimate"] < real["high"]
    assert abs(real["estimate"]) < 0.05
    assert "psnr" in report["rows"][-1]["metrics"]


def plan(acme: Acme, run: str, *words: object) -> tuple[str, dict[str, Any]]:
    acme.qdm("budget", "set", "lab", "--seconds", 60, "--root", "hw")
    made = acme.qdm("run", "plan", run, "--target", "acme:ring", *SHOTS, "--budget", "lab", "--json",
                    "--root", "hw", *words)  # fmt: skip
    return json.loads(made.out)["run"], json.loads(made.out)


def spent(acme: Acme) -> tuple[float, float]:
    """QPU seconds that are spent and reserved."""
    found = json.loads(acme.qdm("budget", "show", "lab", "--json", "--root", "hw").out)
    found = found[0] if isinstance(found, list) else found
    return found["spent_seconds"], found["reserved_seconds"]


def test_a_run_on_the_provider_is_priced_sent_once_settled_and_replayed(acme):
    acme.forget_jobs()
    run, price = plan(acme, "acme-ring", "--seed", 1)
    assert (price["target"], price["spends"]) == ("acme:ring", True)
    before, _ = spent(acme)
    asked = acme.qdm("run", "submit", run, "--root", "hw", code=2).err
    assert "2 jobs, 1600 shots and about 4.0 QPU seconds on acme:ring; nothing was sent" in asked
    assert acme.jobs() == []
    acme.qdm("run", "submit", run, "--yes", "--quiet", "--root", "hw")
    assert len(acme.jobs()) == len(set(acme.jobs())) == STEPS
    assert spent(acme) == (before + 2.0 * STEPS, 0)
    recorded = acme.json("hw", run, "plan.json")["content"]["provider"]
    assert {key: recorded[key] for key in THEIRS} == THEIRS
    replayed = acme.qdm("run", "replay", run, "--root", "hw").out
    assert "the images are the stored ones to the bit" in replayed
    # Sent again, it is done already and costs nothing.
    acme.qdm("run", "submit", run, "--yes", "--quiet", "--root", "hw")
    assert len(acme.jobs()) == STEPS


@pytest.mark.slow
def test_a_run_that_is_killed_while_a_job_is_sent_pays_once(acme):
    acme.forget_jobs()
    run, _ = plan(acme, "acme-wave", "--seed", 2)
    before, _ = spent(acme)
    killed = acme.command("run", "submit", run, "--yes", "--quiet", "--root", "hw", ACME_KILL="1")
    assert killed.returncode == -signal.SIGKILL
    assert len(acme.jobs()) == 1
    assert spent(acme) == (before, pytest.approx(2.0 * STEPS))
    acme.qdm("run", "resume", run, "--quiet", "--root", "hw")
    assert len(acme.jobs()) == len(set(acme.jobs())) == STEPS
    assert spent(acme) == (before + 2.0 * STEPS, 0)
    assert "to the bit" in acme.qdm("run", "replay", run, "--root", "hw").out


OBJECTS = """
import json, os
from pathlib import Path
import numpy as np
import qdm_qiskit as qdm
from acme_qdm import circuits, datasets, devices, loaders, metrics, models, providers, samplers

class Stripes(datasets.Stripes):
    name = "my-stripes"

class Wave(models.Wave):
    name = "MyWave"

class Mine(providers.Acme):
    name = "mine"

tiny = dict(num_steps=2, batch_size=16, baseline=False, sample_every=0, epochs=2)
trained = qdm.train(Wave, "wave", dataset=Stripes(), learning_rate=0.05, **tiny)
again = qdm.continue_training("wave", epochs=3, dataset=Stripes())
spec = circuits.ring()
model = qdm.Denoiser.from_spec(spec, image_shape=(1, 2, 2))
qdm.train(model, "ring", dataset=Stripes(), **tiny)
chip = devices.chip()
found = qdm.sample("wave", chip, shots=300, num_images=2, layout_trials=1, sampler=samplers.Damped(),
                   loader=loaders.Sparing(2, "0.1"))
cost = qdm.cost("wave", [chip, "fake_lagos"], loader=loaders.Sparing(2), trials=1)
local = qdm.plan("ring", chip, num_images=2, shots=50, layout_trials=1)
quality = qdm.evaluate("wave", metrics=[metrics.Contrast(), "psnr"], reference=Stripes(), count=16,
                       resamples=20)
qdm.set_budget("lab", seconds=50)
provider = Mine()
plan = qdm.plan("wave", provider=provider, num_images=2, shots=100, layout_trials=1, budget="lab")
begun = qdm.submit(plan, yes=True, detach=True, provider=provider)
refused = []
for call in (
    lambda: qdm.resume(plan),
    lambda: qdm.plan("wave", "engine", provider=provider),
    lambda: qdm.sample("wave", loader=loaders.Sparing(2)),
    lambda: qdm.continue_training("wave", epochs=4),
):
    try:
        call()
    except qdm.QdmError as error:
        refused.append(str(error))
sent = qdm.resume(plan, provider=provider)
print(json.dumps({
    "epochs": again.epochs,
    "losses": [row["test_loss"] for row in again.history],
    "sampled": found.manifest["device"]["runner"]["target"],
    "shape": found.images.shape,
    "cost": [each.backend for each in cost.backends],
    "local": local.target,
    "contrast": quality.report.rows[-1].metrics["acme-contrast"].estimate,
    "plan": [plan.target, plan.num_jobs, plan.total_seconds],
    "state": sent.state.state,
    "spent": qdm.budget("lab").spent_seconds,
    "jobs": len(provider._ids()),
    "replayed": sent.replay().equal,
    "refused": refused,
}))
"""


@pytest.mark.slow
def test_objects_need_no_registration(acme):
    place = acme.folder / "objects"
    (place / "service").mkdir(parents=True)
    found = acme.python(
        f"import os; os.chdir({str(place)!r})\n" + OBJECTS, ACME_SERVICE=str(place / "service")
    )
    assert found["epochs"] == len(found["losses"]) == 3
    assert found["losses"][-1] < found["losses"][0]
    assert found["sampled"].startswith("noisy:acme_ring_5@")
    assert found["shape"] == [2, 1, 2, 2]
    assert found["cost"][0].startswith("acme_ring_5@")
    assert found["cost"][1] == "fake_lagos"
    assert found["local"].startswith("local:acme_ring_5@")
    assert np.isfinite(found["contrast"])
    assert found["plan"] == ["mine:ring", STEPS, 4.0]
    assert (found["state"], found["spent"], found["jobs"]) == ("done", 4.0, STEPS)
    assert found["replayed"]
    provider, both, engine, data = found["refused"]
    assert "provider=..." in provider
    assert both.startswith("provider says where to run")
    assert "runs no loader" in engine
    assert "'my-stripes'" in data
    assert all("\n" not in each for each in found["refused"])


GONE = """
import json
import qdm_qiskit as qdm
said = []
for call in (
    lambda: qdm.load_run("acme-wave"),
    lambda: qdm.train("acme-wave", "no"),
    lambda: qdm.continue_training("acme-ring", epochs=9),
    lambda: qdm.sample("acme-ring", "noisy:acme-chip", shots=10),
    lambda: qdm.plan("acme-ring", "acme:ring", root="hw"),
    lambda: qdm.resume("latest", root="hw"),
):
    try:
        said.append(repr(call()))
    except qdm.QdmError as error:
        said.append(str(error))
ring = qdm.sample("acme-ring", num_images=1).images.shape
print(json.dumps([said, ring]))
"""


@pytest.mark.slow
def test_without_the_package_one_line_names_it(acme):
    plan(acme, "acme-wave", "--seed", 3)
    (said, ring) = acme.python(GONE, PYTHONPATH=str(ROOT))
    assert all("\n" not in each for each in said)
    assert (
        "needs the model 'acme-wave' of package acme-qdm 0.4.2, which is not installed" in said[0]
    )
    assert "no model or preset 'acme-wave'" in said[1]
    assert "'acme-stripes'" in said[2]
    assert "install package acme-qdm 0.4.2, which brings it" in said[2]
    assert "acme-chip" in said[3]
    assert "no target 'acme:ring'" in said[4]
    assert "acme" in said[5]
    # A circuit is in the run's folder whole, so sampling needs nobody.
    assert ring == [1, 1, 2, 2]
