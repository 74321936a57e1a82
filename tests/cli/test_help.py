"""Every command explains itself with an example, the examples run, and help is instant."""

from __future__ import annotations

import importlib.util
import json
import re
import resource
import shlex
import subprocess
import sys

import pytest
import typer.main

from qdm_qiskit.cli.main import app, main


def commands(group, path=()):
    """All leaf commands of the tree, by their words after `qdm`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


TREE = dict(commands(typer.main.get_command(app)))


def example(command) -> list[str]:
    """The command lines of the block after `Example:`."""
    text = command.callback.__doc__
    block = re.search(r"Example:\n\n((?: +qdm .*(?:\n +.*)*\n?)+)", text)
    assert block, f"no example in {text!r}"
    return [line.strip() for line in block.group(1).splitlines() if line.strip()]


def test_the_tree_is_the_one_of_the_design():
    assert set(TREE) >= {
        "train",
        "sample",
        "report transpile",
        "models list",
        "models describe",
        "data list",
        "data show",
    }


@pytest.mark.parametrize("name", TREE)
def test_every_command_explains_itself(name, qdm):
    result = qdm(*name.split(), "--help")
    assert result.code == 0
    assert result.err == ""
    # The example stands in what a user sees, on one line or wrapped.
    assert f"qdm {name}" in " ".join(result.out.split())
    assert "Example:" in result.out
    lines = example(TREE[name])
    assert all(
        shlex.split(line)[: 1 + len(name.split())] == f"qdm {name}".split() for line in lines
    )
    for parameter in TREE[name].params:
        assert getattr(parameter, "help", "x"), f"`qdm {name}` does not explain {parameter.name}"


@pytest.mark.slow
def test_every_example_runs(qdm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Of quantum states there is no example of training, but one of what comes after it.
    states = "train --preset quddpm-clustered --epochs 1 --set train_count=20 --out runs/clustered"
    assert qdm(*states.split()).code == 0
    # Nor of a model with a linear head, which can be fitted again to a device.
    latents = "train --model line --epochs 1 --set codec=pca --set num_steps=2 --out runs/line"
    assert qdm(*latents.split()).code == 0
    # Nor of rows, half of them held out.
    rows = "train --model eeqdm --dataset iris --epochs 1 --set depth=1 --set test_fraction=0.5"
    assert qdm(*rows.split(), "--out", "runs/iris").code == 0
    # The examples of `qdm train` and `qdm sample` make what other examples take.
    for name in dict.fromkeys(("train", "sample", *TREE)):
        if name in ("pull", "budget account"):  # which ask a hub, or IBM; their tests have servers
            continue
        if name == "privacy train" and importlib.util.find_spec("opacus") is None:
            continue
        for line in example(TREE[name]):
            result = qdm(*shlex.split(line)[1:])
            assert result.code == 0, f"{line}: {result.err}"
            if "--json" in line:
                json.loads(result.out)
    assert (tmp_path / "runs" / "first" / "config.json").is_file()
    assert (tmp_path / "runs" / "first" / "noisy" / "manifest.json").is_file()
    # All that was written stands in folders that the examples name.
    named = {"runs", "reports", "grid.png", "hardware_runs"}
    assert {each.name for each in tmp_path.iterdir()} <= named


def test_presets_named_in_help_exist():
    from qdm_qiskit.models import MODELS, PRESETS

    text = "".join(
        str(p.help) for command in TREE.values() for p in command.params if hasattr(p, "help")
    )
    text += (app.registered_callback.callback.__doc__ or "") + "".join(
        command.callback.__doc__ for command in TREE.values()
    )
    # `qdm budget set` has a preset of its own.
    for kind, known in (("preset", {*PRESETS, "open-plan"}), ("model", MODELS)):
        named = re.findall(rf"--{kind} ([a-z0-9-]+)", text)
        named += re.findall(rf"A {kind}, for example ([a-z0-9-]+)", text)
        assert named, kind
        assert set(named) <= set(known)


@pytest.mark.parametrize("arguments", [[], ["models"], ["data"], ["report"], ["run"], ["budget"]])
def test_without_a_command_the_help_is_shown(qdm, arguments):
    result = qdm(*arguments)
    assert result.code == 2
    assert "Usage:" in result.out
    assert result.err == ""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("train --preset digits", {"digits-demo"}),
        ("sweep --model qamp", {"qamp_december", "qamp_january"}),
        ("models describe quddpm", {"quddpm", "quddpm-circular", "quddpm-clustered"}),
        ("compare eeqdm --backend fake_tor", {"fake_torino", "fake_toronto"}),
        ("devices show fake_mar", {"fake_marrakesh"}),
        ("reproduce eeqdm-fi", {"eeqdm-fid", "eeqdm-fid-means"}),
        ("circuits show eeq", {"eeqdm"}),
        ("run status ", {"latest", "2026-11-30-qddm-cb872943"}),
        ("train --pre", {"--preset"}),
    ],
)
def test_the_shell_completes_names(typed, offered, monkeypatch, tmp_path, capsys):
    """As bash asks; with nothing to offer it takes files instead."""
    (tmp_path / "2026-11-30-qddm-cb872943").mkdir()
    (tmp_path / "2026-11-30-qddm-cb872943" / "plan.json").touch()
    monkeypatch.setenv("QDM_ROOT", str(tmp_path))
    monkeypatch.setenv("_QDM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"qdm {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" "))))
    with pytest.raises(SystemExit):
        main([])
    assert set(capsys.readouterr().out.split()) == offered


def test_version(qdm):
    from qdm_qiskit import __version__

    result = qdm("--version")
    assert (result.code, result.out) == (0, f"qdm {__version__}\n")


def test_help_takes_less_than_a_second(command):
    """Of the processor: other work on the machine is no fault of the command's."""

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([command, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 1


@pytest.mark.parametrize(
    "start", ["", *(f"main({words})" for words in (["--help"], ["models", "list"]))]
)
def test_help_and_the_list_of_models_load_no_heavy_package(start):
    heavy = "torch", "qiskit", "numpy", "sklearn", "matplotlib", "accelerate"
    code = (
        "import sys\nfrom qdm_qiskit.cli.main import main\n"
        f"try: {start or 'pass'}\nexcept SystemExit: pass\n"
        f"sys.exit(','.join(m for m in {heavy} if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("quddpm-circular" in done.stdout) == ("list" in start)


def test_a_reader_that_leaves_gets_no_traceback(command):
    line = f"{shlex.quote(command)} data list --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)  # noqa: S607 (the PATH's own)
    assert done.stdout == "1\n"  # as the parser's library has it
    assert done.stderr == ""
