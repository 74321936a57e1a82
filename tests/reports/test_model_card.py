"""A run's card says what its folder records, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import qdm_qiskit as qdm
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.reports.model_card import model_card
from qdm_qiskit.sampling import load_run
from tests.helpers import ROOT, write_run

KEPT = ROOT / "tests" / "fixtures" / "v0_1" / "training" / "plain"


def front(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def titles(text: str) -> list[str]:
    return [line[3:] for line in text.splitlines() if line.startswith("## ")]


def row(text: str, name: str) -> str:
    [line] = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return line.split("|")[2].strip()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "first"
    small = {"image_size": 2, "depth": 1, "num_steps": 2, "train_count": 20, "epochs": 2}
    qdm.train("eeqdm", folder, **small)
    return folder


def test_numbers_are_those_of_the_folder(run):
    text = model_card(run, repo="somebody/first", license_name="apache-2.0")
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    config = json.loads((run / "config.json").read_text())
    assert row(text, "test loss") == f"{last['test_loss']:.4g}"
    assert row(text, "identity: predicting no change at all") == f"{last['identity_loss']:.4g}"
    assert row(text, "epochs") == "2 of 2"
    assert row(text, "SHA-256 of pixels and labels") == f"`{config['record']['content_sha256']}`"
    counts = config["record"]["train_classes"]
    assert row(text, "training images").startswith(f"{sum(counts.values())} (")
    assert 'from_pretrained("somebody/first")' in text
    assert ("**not below** that of predicting no change" in text) == (
        last["test_loss"] >= last["identity_loss"]
    )
    found = front(text)
    assert (found["license"], found["library_name"]) == ("apache-2.0", "qdm_qiskit")
    assert "arxiv:2411.15973" in found["tags"]
    [metric] = found["model-index"][0]["results"][0]["metrics"]
    assert metric["value"] == last["test_loss"]


def test_a_section_without_a_record_is_left_out(run, tmp_path):
    assert titles(model_card(run)) == ["Use", "Model", "Data", "Training", "Losses", "Citation"]
    bare = write_run(tmp_path / "bare")
    text = model_card(bare)
    assert titles(text) == ["Use", "Model", "Data", "Training", "Citation"]
    assert {"license", "model-index"}.isdisjoint(front(text))
    assert "begun by version 0.1" in text


def test_a_run_of_version_0_1_has_a_card():
    text = model_card(KEPT)
    assert row(text, "test loss") == "0.1095"
    assert "which is the better denoiser by this number" in text


def test_costs_come_from_the_export_of_these_weights_alone(tmp_path):
    run = write_run(tmp_path / "run")
    made = qdm.export(run, devices="fake_manila", trials=1, level=1)
    [cost] = made.record["circuits"][0]["devices"]["fake_manila"]["costs"]
    text = model_card(run)
    line = f"| fake_manila | exported eeqdm | {cost['two_qubit_count']} | {cost['depth']} |"
    assert line in text
    other = write_run(tmp_path / "other", seed=9)
    (other / "export").mkdir()
    (other / "export" / "circuits.json").write_bytes(made.files[0].read_bytes())
    assert "Cost on devices" not in model_card(other)


def test_an_evaluation_and_a_report_of_the_run_are_shown(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "evaluation").mkdir()
    interval = {"estimate": 0.25, "low": 0.125, "high": 0.5}
    evaluation = {
        "schema": "qdm-evaluation/2",
        "reference": {"count": 7, "part": "test", "dataset": "npz:/home/me/mine.npz"},
        "options": {"level": 0.95, "resamples": 200},
        "metrics": {"domain_kid": {"title": "KID", "better": "lower"}},
        "rows": [
            {"name": "real", "kind": "real", "count": 7, "metrics": {}},
            {"name": "run", "kind": "samples", "count": 9, "metrics": {"domain_kid": interval}},
        ],
        "warnings": ["<script>few images</script>"],
    }
    (run / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation))
    (run / "report").mkdir()
    for path in (ROOT / "transpile_reports").glob("digits-demo.json"):
        (run / "report" / path.name).write_bytes(path.read_bytes())
    text = model_card(run)
    assert "| KID ↓ | - | 0.25 [0.125, 0.5] |" in text
    assert "/home/me" not in text
    assert "mine.npz" in text
    assert "<script>" not in text
    report = json.loads((ROOT / "transpile_reports/digits-demo.json").read_text())
    for each in report["backends"]:
        count = each["cost"]["total"]["two_qubit_count"]
        assert f"| {each['backend']} | one step | {count} |" in text
    [metric] = front(text)["model-index"][0]["results"][0]["metrics"]
    assert metric == {"type": "domain_kid", "name": "domain kid", "value": 0.25}


def test_a_hub_reads_the_front_matter(run):
    """By the reader of huggingface_hub itself, where it is installed."""
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(model_card(run, repo="somebody/first", license_name="mit")).data
    assert (data.license, data.library_name) == ("mit", "qdm_qiskit")
    [result] = data.eval_results
    assert (result.metric_type, result.dataset_name) == ("test_loss", "digits")


def test_a_licence_is_an_identifier(run):
    with pytest.raises(InvalidOption, match=r"identifier such as apache-2\.0"):
        model_card(run, license_name="do what\nyou want")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evaluation/evaluation.json", {"schema": "qdm-evaluation/2", "rows": [1]}),
        (
            "evaluation/evaluation.json",
            {"schema": "qdm-evaluation/2", "rows": [{"kind": "samples"}]},
        ),
        ("report/x.json", {"schema": "transpile-report/1"}),
        ("report/x.json", {"schema": "calls-report/1", "backends": [{"rows": [{}]}]}),
        ("export/circuits.json", {"circuits": [{"devices": []}]}),
    ],
)
def test_a_damaged_record_is_named_in_one_line(tmp_path, name, content):
    run = write_run(tmp_path / "run")
    path = run / name
    path.parent.mkdir()
    weights = load_run(run).weights_sha256
    path.write_text(json.dumps({**content, "weights_sha256": weights}))
    with pytest.raises(InvalidData, match="damaged or of another version") as caught:
        model_card(run)
    assert "\n" not in str(caught.value)
