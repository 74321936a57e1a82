"""Training curves say what the runs recorded, and refuse what they cannot draw."""

import json
import re
import shlex
import sys

import pytest

from tests.helpers import ROOT, load_script

SCRIPT = ROOT / "benchmarks" / "training_curves.py"
LISTS = sorted((SCRIPT.parent / "curves").glob("*.json"))


def write_run(folder, losses, start=0):
    folder.mkdir(parents=True)
    rows = [
        {"epoch": k, "step": start + 10 * k, "test_loss": loss, "identity_loss": 0.25}
        for k, loss in enumerate(losses, start=1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """The script as its command runs it: what it printed, or SystemExit."""

    def run(listed, *more):
        script = load_script(SCRIPT)
        (tmp_path / "list.json").write_text(json.dumps(listed))
        made = tmp_path / "made"
        words = ["list.json", "--runs", ".", "--png", "made/curves.png"]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["x", *words, "--json", str(made / "curves.json"), *more])
        script.main()
        return capsys.readouterr().out

    return run


def panel(*runs, **more):
    return {"x": "step", "panels": [{"curves": [{"label": "ours", "runs": list(runs)}], **more}]}


def test_mean_and_range_of_the_seeds_and_the_classical_part_first(tmp_path, call):
    write_run(tmp_path / "a", [0.5, 0.25])
    write_run(tmp_path / "b", [0.75, 0.5])
    write_run(tmp_path / "moved", [0.125])
    write_run(tmp_path / "moved" / "classical", [1.0, 0.5])
    listed = panel("a", "b", published=[{"label": "theirs", "loss": 0.3, "source": "table 1"}])
    listed["panels"][0]["curves"].append({"label": "transfer", "runs": ["moved"]})
    assert "0.3  (table 1)" in call(listed)
    (written,) = json.loads((tmp_path / "made" / "curves.json").read_text())["panels"]
    ours, transfer = written["curves"]
    assert ours["test_loss"] == {
        "mean": [0.625, 0.375],
        "lowest": [0.5, 0.25],
        "highest": [0.75, 0.5],
    }
    assert ours["identity_loss"]["mean"] == [0.25, 0.25]
    assert transfer["test_loss"]["mean"] == [1.0, 0.5, 0.125]
    assert transfer["step"] == [10, 20, 30]
    assert (tmp_path / "made" / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (panel("none"), "cannot be read"),
        (panel("a", "short"), "got epochs a: 2, short: 1"),
        (panel("a", colour="red"), "got colour, curves"),
        (panel("a", published=[{"label": "theirs", "loss": 1}]), "'theirs' needs its 'source'"),
        ({"x": "hours", "panels": [1]}, "'x' (epoch or step)"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(tmp_path, call, listed, message):
    write_run(tmp_path / "a", [0.5, 0.25])
    write_run(tmp_path / "short", [0.5])
    with pytest.raises(SystemExit, match=re.escape(message)) as raised:
        call(listed)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.slow  # it trains
def test_missing_runs_are_made_with_a_seed_each(tmp_path, call):
    write_run(tmp_path / "mine-1", [0.5])
    listed = panel("mine-0", "mine-1")
    tiny = {"train_count": 4, "test_count": 2, "image_size": 4, "depth": 1, "baseline": "false"}
    options = " ".join(f"--set {name}={value}" for name, value in tiny.items())
    listed["panels"][0]["curves"][0]["train"] = f"--model eeqdm --epochs 1 {options} --quiet"
    with pytest.raises(SystemExit, match="same epochs and steps"):  # mine-1 was not made again
        call(listed, "--train")
    assert json.loads((tmp_path / "mine-0" / "config.json").read_text())["training"]["seed"] == 0
    (tmp_path / "mine-1" / "metrics.jsonl").unlink()
    assert "(" in call(listed, "--train")
    assert json.loads((tmp_path / "mine-1" / "config.json").read_text())["training"]["seed"] == 1


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_the_committed_lists_name_runs_that_can_be_made(path):
    """Their options are those of `qdm train`, and every published figure has its source."""
    from qdm_qiskit.options import parse_assignments
    from qdm_qiskit.training import resolve_run

    for each in json.loads(path.read_text())["panels"]:
        assert all(figure["source"] for figure in each.get("published", []))
        for curve in each["curves"]:
            if "train" not in curve:
                continue
            words = iter(shlex.split(curve["train"]))
            given = {"--model": None, "--preset": None, "--epochs": None}
            settings = []
            for name in words:
                if name == "--set":
                    settings.append(next(words))
                else:
                    assert name in given
                    given[name] = next(words)
            values = dict(parse_assignments(settings))
            if given["--epochs"]:
                values["epochs"] = int(given["--epochs"])
            resolve_run(given["--preset"] or given["--model"], values)
