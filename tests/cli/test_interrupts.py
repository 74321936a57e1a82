"""Ctrl-C: a checkpoint and the command that goes on, or nothing at all."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

LONG = (
    "--model eeqdm --set image_size=2 --set depth=2 --set train_count=150 --set test_count=20 "
    "--set batch_size=1 --set num_steps=2 --set sample_every=0 --epochs 3"
)
"""Three epochs of 150 steps, about a second each."""


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the command does not come to work"
        time.sleep(0.01)


def listening() -> None:
    """A background job of a shell ignores Ctrl-C, and so do its children: undo that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def interrupt(process) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """The run that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    words = [command, "train", *LONG.split(), "--quiet", "--out", str(folder)]
    subprocess.run(words, check=True, capture_output=True)
    return folder


def last_checkpoint(run: Path) -> Path:
    return sorted((run / "checkpoints").iterdir())[-1]


@pytest.mark.slow
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(command, whole, tmp_path):
    run = tmp_path / "a run"  # a name that a shell would split
    words = [command, "train", *LONG.split(), "--out", str(run)]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listening
    )
    wait_for(lambda: lines(run / "metrics.jsonl") >= 1, process)
    time.sleep(0.1)  # into the next epoch
    code, err = interrupt(process)
    assert code == 130, err
    assert "Traceback" not in err
    *_, message, last = err.splitlines()
    assert message.startswith("stopped with ")
    assert last == "interrupted"
    resume = shlex.split(message.partition("continue with: ")[2])
    assert resume == ["qdm", "train", "--out", str(run), "--resume", "latest"]
    state = json.loads((last_checkpoint(run) / "state.json").read_text())
    assert 150 < state["step"] < 450
    assert not list(run.rglob(".part-*"))

    done = subprocess.run([command, *resume[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours, theirs = last_checkpoint(run), last_checkpoint(whole)
    assert ours.name == theirs.name == "step-00000450"
    for name in ("model", "optimizer", "baseline/model", "baseline/optimizer"):
        file = f"{name}.safetensors"
        assert (ours / file).read_bytes() == (theirs / file).read_bytes(), name
    metrics = []
    for folder in (run, whole):
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        metrics.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    assert metrics[0] == metrics[1]


def test_one_seed_gives_the_same_weights_and_another_others(qdm, tiny, tmp_path):
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        line = ["train", "--model", "eeqdm", *tiny, "--quiet", "--epochs", "1", "--seed", seed]
        assert qdm(*line, "--out", tmp_path / name).code == 0
        weights.append((last_checkpoint(tmp_path / name) / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_a_longer_run_takes_up_a_finished_one(qdm, tiny, tmp_path):
    line = ["train", "--model", "eeqdm", *tiny, "--quiet"]
    assert qdm(*line, "--epochs", "4", "--out", tmp_path / "whole").code == 0
    assert qdm(*line, "--epochs", "2", "--out", tmp_path / "parts").code == 0
    longer = qdm(
        "train",
        "--out",
        tmp_path / "parts",
        "--resume",
        "step-00000006",
        "--epochs",
        "4",
        "--quiet",
    )
    assert longer.code == 0
    ours, theirs = last_checkpoint(tmp_path / "parts"), last_checkpoint(tmp_path / "whole")
    assert ours.name == theirs.name
    assert (ours / "model.safetensors").read_bytes() == (theirs / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")
def test_an_interrupted_sampling_leaves_nothing(qdm, command, tmp_path):
    options = "--set image_size=2 --set depth=1 --set train_count=4 --set test_count=2"
    line = f"train --model eeqdm {options} --set num_steps=2000 --set sample_every=0 --epochs 1"
    assert qdm(*line.split(), "--quiet", "--out", tmp_path / "run").code == 0
    before = sorted(tmp_path.rglob("*"))
    line = "sample run --target noisy:fake_torino --shots 500 --num-images 30 --layout-trials 1"
    process = subprocess.Popen(
        [command, *line.split(), "--out", "new/deep"],
        cwd=tmp_path,
        preexec_fn=listening,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    maps = Path(f"/proc/{process.pid}/maps")
    wait_for(lambda: "qiskit_aer" in maps.read_text(), process)
    time.sleep(1)
    assert interrupt(process) == (130, "interrupted\n")
    assert sorted(tmp_path.rglob("*")) == before
