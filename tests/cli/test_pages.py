"""Every kind of page as the commands write it: one file, and no script error in Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdm_qiskit.evaluation import domain_classifier as classifier_module
from qdm_qiskit.training import resolve_run, train
from tests.pages.browser import CHROMIUM, browser
from tests.pages.reading import assert_self_contained

TINY = ("--set", "image_size=2")


@pytest.fixture
def pages(qdm, tmp_path, monkeypatch) -> dict[str, Path]:
    monkeypatch.setattr(classifier_module, "VISITS", 2000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    run, root = tmp_path / "small", tmp_path / "root"
    settings = {"image_size": 4, "depth": 1, "num_steps": 2, "sample_every": 0, "baseline": False}
    train(resolve_run("qddm", {**settings, "train_count": 60, "test_count": 40, "epochs": 2}), run)
    few = ("--trials", "1", "--backend", "fake_lima", "--quiet")
    words = ["--set", "train_count=8", "--epochs", "2", "--grid", "depth=1,2", "--quiet"]
    for command in (
        ("sample", run, "--num-images", "4", "--out", run / "exact", "--quiet"),
        ("report", "run", run),
        ("evaluate", run, "--count", "60", "--resamples", "20", "--quiet"),
        ("report", "transpile", "eeqdm", *TINY, *few, "--out", tmp_path / "costs"),
        ("compare", "eeqdm", *TINY, *few, "--out", tmp_path / "comparison"),
        ("sweep", "--model", "eeqdm", *TINY, *words, "--out", tmp_path / "sweep"),
        ("run", "plan", run, "--target", "local:fake_lima", "--num-images", "2", "--root", root),
        ("run", "submit", "latest", "--root", root, "--yes"),
        ("run", "report", "latest", "--root", root, "--out", tmp_path / "hardware"),
    ):
        done = qdm(*command)
        assert done.code == 0, (command, done.err)
    [costs] = (tmp_path / "costs").glob("*.html")
    return {
        "Run: small": run / "report.html",
        "Evaluation": run / "evaluation" / "evaluation.html",
        "Transpile report: eeqdm": costs,
        "comparison of eeqdm": tmp_path / "comparison" / "comparison.html",
        "sweep of eeqdm": tmp_path / "sweep" / "runs.html",
        "Hardware run": tmp_path / "hardware" / "report.html",
    }


@pytest.mark.slow
def test_six_kinds_of_page(pages, tmp_path):
    for title, path in pages.items():
        text = path.read_text(encoding="utf-8")
        found = assert_self_contained(text)
        assert found.words().startswith(title)
        assert len(text) < 300_000
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; the files were read all the same")
    with browser(tmp_path / "profile") as chromium:
        for path in pages.values():
            for dark in (False, True):
                chromium.open(path, dark=dark)
                chromium.run("document.querySelectorAll('button').forEach(each => each.click())")
                chromium.run(
                    "document.querySelectorAll('input').forEach(each => { each.value = 0; "
                    "each.dispatchEvent(new Event('input')); })"
                )
                assert chromium.errors == []
                fetched = [each for each in chromium.requests if not each.startswith("data:")]
                assert fetched == [path.as_uri()]
