"""`qdm evaluate` and `qdm report pictures`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qdm_qiskit.evaluation import domain_classifier as classifier_module
from qdm_qiskit.training import resolve_run, train


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A short training of the classifier, kept away from the user's own cache."""
    monkeypatch.setattr(classifier_module, "VISITS", 2000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    settings = {
        "image_size": 4,
        "depth": 1,
        "train_count": 60,
        "test_count": 40,
        "epochs": 1,
        "num_steps": 2,
        "sample_every": 0,
        "baseline": False,
    }
    train(resolve_run("qddm", settings), folder)
    return folder


FEW = ("--count", "60", "--resamples", "20")


@pytest.mark.slow
def test_table_pictures_and_cache(qdm, run, home, snapshot):
    result = qdm("evaluate", run, *FEW)
    assert (result.code, result.err) == (0, "")
    for words in ("real images", "noise", "small", "Fréchet distance", "named rightly", "RMS"):
        assert words in result.out
    written = run / "evaluation"
    assert {each.name for each in written.iterdir()} == {
        "evaluation.png",
        "nearest.png",
        "evaluation.md",
        "evaluation.json",
        "evaluation.html",
    }
    kept = snapshot(home)
    assert any(name.endswith(".safetensors") for name in kept)
    again = qdm("evaluate", run, *FEW, "--json")
    assert snapshot(home) == kept
    printed = json.loads(again.out)
    assert printed == json.loads((written / "evaluation.json").read_text())
    assert printed["classifier"]["cached"] is True


@pytest.mark.slow
def test_several_runs_are_compared(qdm, run, tmp_path):
    assert qdm("sample", run, "--num-images", 50, "--out", tmp_path / "made").code == 0
    other = ("--samples", tmp_path / "made", "--out", tmp_path / "both")
    result = qdm("evaluate", run, *other, *FEW, "--json")
    names = [row["name"] for row in json.loads(result.out)["rows"]]
    assert names == ["real images", "noise", "small", "made"]
    assert (tmp_path / "both" / "evaluation.png").is_file()
    alone = qdm("evaluate", "--samples", tmp_path / "made", *FEW)
    assert alone.code == 0
    assert (tmp_path / "made" / "evaluation" / "evaluation.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("{run}", "--count", "20"), "more than 32 images"),
        (("{run}", "--protocol", "defalko"), "Did you mean 'defalco'?"),
        (("{run}", "--part", "all"), "'test' or 'train'"),
        (("{run}", "--reference", "npz:nowhere.npz"), "no file"),
        (("{run}", "--reference", "minst"), "Did you mean 'mnist'?"),
        (("{run}", "--scheduler", "euler"), "scheduler is one of"),
        (("{run}", "--scheduler", "ddim"), "predicts the noise"),
        (("{run}", "--inception-weights", "nowhere.pth"), "'download'"),
        (("{run}", "--inception-weights", __file__), "--accept-other-weights"),
        (("{run}", "--seed", "-1"), "seed"),
        (("{empty}",), "no checkpoint"),
        (("--samples", "{empty}"), "no samples"),
        ((), "nothing to evaluate"),
    ],
)
def test_mistakes_end_in_one_line(qdm, run, tmp_path, arguments, says, snapshot):
    before = snapshot(run)
    result = qdm("evaluate", *(each.format(run=run, empty=tmp_path) for each in arguments))
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert result.err.count("\n") == 1
    assert snapshot(run) == before


def test_a_run_is_drawn(qdm, run, tmp_path):
    result = qdm("report", "pictures", run, "--num-images", 4, "--out", tmp_path / "drawn")
    assert result.code == 0
    assert (tmp_path / "drawn" / "trajectory.gif").read_bytes().startswith(b"GIF")
    assert result.out.count("written") == 6
    refused = qdm("report", "pictures", run, "--num-images", 401)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
