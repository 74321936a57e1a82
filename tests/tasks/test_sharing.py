"""Models to a hub and back, through huggingface_hub, on a server of the tests."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import qdm_qiskit as qdm
from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import (
    InvalidCheckpoint,
    InvalidData,
    InvalidOption,
    MissingData,
    OutputNotWritable,
    ServiceUnavailable,
)
from qdm_qiskit.files import read_json_object
from qdm_qiskit.sampling import QDMPipeline, load_run
from qdm_qiskit.sampling.hub import FILES, is_repo
from qdm_qiskit.tasks import pull, push_to_hub
from qdm_qiskit.tasks.sharing import write_card
from tests.helpers import write_run
from tests.hub_server import TOKEN, Hub, serving

constants = pytest.importorskip("huggingface_hub.constants")
# huggingface_hub 2.4 uploads in a way that its HTTP library will refuse one day.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of this machine, for an account whose token stands in the environment."""
    with serving() as found:
        for name, value in {
            "ENDPOINT": found.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": found.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_DISABLE_XET": True,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.chdir(tmp_path)
        yield found


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(tmp_path / "somewhere" / "run")


def weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def put(hub: Hub, repo: str, **files: bytes | None) -> None:
    """Change files of a repository behind everybody's back; None removes one."""
    there = {**hub.repos[repo].commits[-1]}
    for name, content in files.items():
        file = name.replace("__", ".")
        there.pop(file, None)
        if content is not None:
            there[file] = content
    hub.repos[repo].commits.append(there)


def test_a_model_comes_back_as_it_was(hub, run):
    made = push_to_hub(run, "somebody/first", license_name="apache-2.0")
    repo = hub.repos["somebody/first"]
    assert made.files == ("README.md", "config.json", "model.safetensors", "pipeline.json")
    assert set(repo.commits[-1]) == set(made.files)
    assert made.commit == repo.commit(1)
    assert "model.safetensors" in repo.lfs, "the way of large files was taken too"
    assert "config.json" not in repo.lfs
    assert not repo.private
    assert hub.tokens == {TOKEN}, "found by the library itself"
    pipeline = QDMPipeline.from_pretrained("somebody/first")
    own = QDMPipeline.from_pretrained(run)
    np.testing.assert_equal(weights(pipeline.run.model), weights(own.run.model))
    assert pipeline.run.model.config == own.run.model.config
    np.testing.assert_array_equal(pipeline(num_images=3).images, own(num_images=3).images)


def test_a_commit_that_is_here_asks_nobody_and_revisions_are_told_apart(hub, run):
    first = push_to_hub(run, "somebody/first")
    other = write_run(run.parent / "other", seed=9)
    second = push_to_hub(other, "somebody/first")
    assert first.commit != second.commit
    newest = QDMPipeline.from_pretrained("somebody/first").run
    np.testing.assert_equal(weights(newest.model), weights(load_run(other).model))
    older = QDMPipeline.from_pretrained("somebody/first", revision=first.commit).run
    np.testing.assert_equal(weights(older.model), weights(load_run(run).model))
    before = len(hub.requests)
    again = QDMPipeline.from_pretrained("somebody/first", revision=first.commit).run
    assert len(hub.requests) == before
    assert again.checkpoint == older.checkpoint
    with pytest.raises(MissingData, match="no such revision"):
        QDMPipeline.from_pretrained("somebody/first", revision="nightly")


def test_no_place_of_this_machine_is_told(hub, tmp_path):
    data = tmp_path / "secret_folder" / "mine.npz"
    data.parent.mkdir()
    images = np.random.default_rng(0).random((20, 1, 2, 2))
    np.savez(data, images=images, labels=np.arange(20) % 2)
    run = tmp_path / "run"
    small = {"image_size": 2, "depth": 1, "num_steps": 2, "epochs": 1, "baseline": False}
    qdm.train("eeqdm", run, dataset=f"npz:{data}", **small)
    push_to_hub(run, "somebody/mine")
    files = hub.repos["somebody/mine"].commits[-1]
    assert not [name for name, content in files.items() if b"secret_folder" in content]
    config = json.loads(files["pipeline.json"])
    assert config["data"]["dataset"] == "npz:mine.npz"
    [file] = config["record"]["files"]
    assert file["path"] == "mine.npz"
    assert file["sha256"] in files["README.md"].decode()
    assert pull("somebody/mine", tmp_path / "back").is_dir()
    assert load_run(tmp_path / "back").config.record is not None


def test_circuits_go_along_if_they_are_of_these_weights(hub, run):
    made = qdm.export(run)
    shared = push_to_hub(run, "somebody/first")
    expected = [f"circuits/{name}" for name in ("circuits.json", "eeqdm.qasm", "eeqdm.qpy")]
    assert [name for name in shared.files if name.startswith("circuits/")] == expected
    files = hub.repos["somebody/first"].commits[-1]
    assert files["circuits/eeqdm.qpy"] == (made.folder / "eeqdm.qpy").read_bytes()
    # Another model takes the place of the first, and its circuits go.
    other = write_run(run.parent / "other", seed=9)
    (other / "export").mkdir()
    for each in made.files:
        (other / "export" / each.name).write_bytes(each.read_bytes())
    push_to_hub(other, "somebody/first")
    assert not [name for name in hub.repos["somebody/first"].commits[-1] if "circuits" in name]
    made.files[1].write_text("changed")
    with pytest.raises(InvalidData, match="was changed since it was exported"):
        push_to_hub(run, "somebody/first")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "x/old.PKL", "extra.npz", "a.ckpt"])
def test_a_repository_with_a_pickle_is_refused_unopened(hub, run, name):
    push_to_hub(run, "somebody/first")
    hub.repos["somebody/first"].commits[-1][name] = b"cos\nsystem\n(S'true'\ntR."
    before = len(hub.requests)
    with pytest.raises(InvalidCheckpoint, match="may be pickles and run code"):
        QDMPipeline.from_pretrained("somebody/first")
    assert not [each for each in hub.requests[before:] if "resolve" in each], "nothing is fetched"


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({"model__safetensors": None}, MissingData, "no model of this package: there is no model"),
        ({"model__safetensors": b"\x80\x04."}, InvalidCheckpoint, "truncated or damaged"),
        ({"config__json": b'{"model_type": "bert"}'}, InvalidCheckpoint, "describes no model"),
        ({"pipeline__json": b"[1]"}, InvalidData, "cannot be used|object"),
    ],
)
def test_what_is_no_model_of_ours_is_refused(hub, run, tmp_path, files, error, words):
    push_to_hub(run, "somebody/first")
    put(hub, "somebody/first", **files)
    hub.repos["somebody/first"].lfs.discard("model.safetensors")
    with pytest.raises(error, match=words):
        QDMPipeline.from_pretrained("somebody/first")
    with pytest.raises(error, match=words):
        pull("somebody/first", tmp_path / "back")
    assert not list((tmp_path / "back").glob("*"))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_arrives_is_held_against_the_listing(hub, run, name, tmp_path):
    push_to_hub(run, "somebody/first")
    content = hub.repos["somebody/first"].commits[-1][name]
    hub.lie[name] = content[:-2] + b"  " if name == "model.safetensors" else content + b" "
    with pytest.raises((InvalidCheckpoint, ServiceUnavailable), match="not the file that the hub"):
        QDMPipeline.from_pretrained("somebody/first")
    hub.lie.clear()
    assert QDMPipeline.from_pretrained("somebody/first"), "nothing half done stays in the cache"


def test_a_listing_with_a_huge_file_is_refused(hub, run, monkeypatch):
    push_to_hub(run, "somebody/first")
    monkeypatch.setitem(FILES, "config.json", 10)
    with pytest.raises(InvalidCheckpoint, match="at most 10 are read"):
        QDMPipeline.from_pretrained("somebody/first")


@pytest.mark.parametrize("status", [401, 403, 418])
def test_refusals_are_told_in_our_words_without_the_token(hub, run, status, capfd, caplog):
    """The server quotes the token in its answer, which must not come through."""
    caplog.set_level(logging.DEBUG)
    hub.refuse = status
    with pytest.raises(ServiceUnavailable, match=f"HTTP {status}") as caught:
        push_to_hub(run, "somebody/first")
    with pytest.raises(SystemExit):
        main(["push", str(run), "somebody/first"])
    printed = "".join(capfd.readouterr())
    assert f"HTTP {status}" in printed
    assert printed.count("\n") == 2, "a progress line and one of the error"
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("qdm")]
    assert TOKEN not in str(caught.value) + printed + "".join(ours)
    assert caught.value.__cause__ is None


def test_private_and_missing_repositories(hub, run, monkeypatch):
    push_to_hub(run, "somebody/hidden", private=True)
    assert hub.repos["somebody/hidden"].private
    assert QDMPipeline.from_pretrained("somebody/hidden")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(MissingData, match="shows no repository 'somebody/hidden' to this account"):
        QDMPipeline.from_pretrained("somebody/hidden")
    with pytest.raises(MissingData, match="shows no repository 'somebody/none'"):
        QDMPipeline.from_pretrained("somebody/none")


def test_a_mistyped_folder_asks_nobody(hub, tmp_path):
    (tmp_path / "runs").mkdir()
    for text in ("runs/frist", "./somebody/first", "/somebody/first", "somebody", "a/b/c"):
        with pytest.raises(MissingData):
            QDMPipeline.from_pretrained(text)
    with pytest.raises(MissingData):
        QDMPipeline.from_pretrained(Path("somebody/first"))
    with pytest.raises(InvalidOption, match="read as a folder"):
        QDMPipeline.from_pretrained("runs/frist", revision="main")
    assert hub.requests == []
    assert is_repo("somebody/first")


def test_the_commands(hub, run, tmp_path, capsys):
    def qdm_command(*words: str) -> str:
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        found = capsys.readouterr()
        assert left.value.code == 0, found.err
        return found.out

    planned = json.loads(qdm_command("push", run, "somebody/first", "--dry-run", "--json"))
    assert planned["commit"] is None
    assert hub.requests == []
    sent = json.loads(qdm_command("push", run, "somebody/first", "--json"))
    assert {**planned, "commit": None, "url": None} == {**sent, "commit": None, "url": None}
    qdm_command("pull", "somebody/first", "--out", tmp_path / "theirs")
    assert sorted(each.name for each in (tmp_path / "theirs").iterdir()) == [
        "config.json",
        "model.safetensors",
        "pipeline.json",
    ]
    out = tmp_path / "samples"
    qdm_command("sample", tmp_path / "theirs", "--num-images", "2", "--quiet", "--out", out)
    assert (out / "samples.npz").is_file()
    with pytest.raises(OutputNotWritable, match="holds files already"):
        pull("somebody/first", tmp_path / "theirs")
    with pytest.raises(InvalidOption, match="'user/name'"):
        push_to_hub(run, "no-user")
    assert "front matter" not in qdm_command("card", run)
    text = (run / "README.md").read_text()
    assert yaml.safe_load(text.split("---\n")[1])["library_name"] == "qdm_qiskit"
    assert read_json_object(run / "config.json"), "the run stays as it is"


def test_a_card_replaces_cards_only(run, tmp_path):
    """It once replaced the run's own configuration."""
    before = (run / "config.json").read_bytes()
    (run / "README.md").write_text("My notes.")
    for out in (run / "config.json", None):
        with pytest.raises(
            OutputNotWritable, match="holds no card of a run, and is not overwritten"
        ):
            write_card(run, out)
    assert (run / "config.json").read_bytes() == before
    assert (run / "README.md").read_text() == "My notes."
    for _ in range(2):
        write_card(run, tmp_path / "card.md")
    assert (tmp_path / "card.md").read_text().startswith("---\n")
