"""`qdm train --config`: options from a file."""

from __future__ import annotations

import json

import pytest

from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import InvalidData
from qdm_qiskit.training import read_options, resolve_run

TEXT = """
# a comment
model: eeqdm
image_size: 4
depth: 2
learning_rate: 1e-2
classes: [3, 7]
guided: false
train_count: null
"""


def test_options_are_those_of_set(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(TEXT)
    found = read_options(path)
    model = found.pop("model")
    typed = {"image_size": "4", "depth": "2", "learning_rate": "0.01", "classes": "3,7"}
    assert resolve_run(model, found) == resolve_run(model, {**typed, "guided": "false"})


def test_json_is_such_a_file(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"preset": "digits-demo", "epochs": 3}))
    assert read_options(path) == {"preset": "digits-demo", "epochs": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold lines such as 'depth: 10', got NoneType"),
        ("- depth\n", "got list"),
        ("depth: 2\ndepth: 3\n", "sets 'depth' twice"),
        ("depth: {a: 1}\n", "'depth' is a number, text.*got dict"),
        ("depth: [[1]]\n", "got list"),
        ("1: 2\n", "1 is no name of an option"),
        ("depth: [1\n", "no readable file of options"),
        ("depth: !!python/name:os.system\n", "no readable file of options"),
        ("a: &x [1]\nb: 2024-01-01\n", "got date"),
        ("[" * 3000, "no readable file of options"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(InvalidData, match=message) as caught:
        read_options(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_too_large_is_not_parsed(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"#" * (2**16 + 1))
    with pytest.raises(InvalidData, match="more than 65536 bytes"):
        read_options(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InvalidData, match=r"none\.yaml is no readable file of options"):
        read_options(tmp_path / "none.yaml")


def typed(*words: str) -> int:
    """Run `qdm train` in this process, and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["train", *words, "--out", "run", "--quiet"])
    return int(ended.value.code or 0)


def test_what_is_typed_goes_before_what_is_in_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"image_size": 2, "depth": 1, "num_steps": 2, "train_count": 8, "baseline": False}
    (tmp_path / "run.yaml").write_text(json.dumps({"model": "eeqdm", **small, "epochs": 9}))
    assert typed("--config", "run.yaml", "--epochs", "1", "--set", "depth=2") == 0
    run = json.loads((tmp_path / "run" / "config.json").read_text())
    assert run["model"] == "eeqdm"
    assert run["training"]["epochs"] == 1
    assert run["model_options"]["depth"] == 2


def test_a_file_that_names_no_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("depth: 2\n")
    assert typed("--config", "run.yaml") == 2
    assert "Name what to train by --model or by --preset" in capsys.readouterr().err


def test_a_wrong_option_is_named_with_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("model: eeqdm\nimage_sise: 4\n")
    assert typed("--config", "run.yaml") == 2
    assert (
        "error: run.yaml: There is no option of 'eeqdm' called 'image_sise'"
        in capsys.readouterr().err
    )
    (tmp_path / "run.yaml").write_text("model: eeqdm\nimage_size: 4\n")
    assert typed("--config", "run.yaml", "--set", "depht=4") == 2
    assert "error: There is no option of 'eeqdm' called 'depht'" in capsys.readouterr().err
