"""One callback for progress: what hears it, and that no other kind stands beside it."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
import torch

import qdm_qiskit
from qdm_qiskit.progress import Message, Progress, silent
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.training import TrainingProgress, resolve_run, train

SOURCE = Path(qdm_qiskit.__file__).parent
OTHER_WORDS = {"on_stage", "say", "report", "tell"}
SUSPECT = re.compile(r"\b(on_stage|say|report|tell|progress): ")


def test_a_message_is_its_text_with_counts():
    message = Message("transpiling", 3, 10)
    assert message == "transpiling"
    assert {message: 1}["transpiling"] == 1
    assert (message.done, message.total, message.fraction) == (3, 10, 0.3)
    assert Message("waiting").fraction is None
    assert Message("waiting", 2).fraction is None
    assert Message("nothing to do", 0, 0).fraction is None
    assert silent(message) is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    options = {"depth": 1, "train_count": 4, "test_count": 2, "epochs": 2, "batch_size": 2}
    heard: list[Message] = []
    folder = tmp_path_factory.mktemp("runs") / "run"
    progress: Progress = heard.append
    result = train(resolve_run("eeqdm", {**options, "baseline": False}), folder, progress=progress)
    return folder, result, heard


def test_a_plain_callable_hears_a_training_run(trained):
    _, result, heard = trained
    assert all(type(each).__str__ is str.__str__ for each in heard)
    steps = [each for each in heard if each.startswith("step")]
    assert [(each.done, each.total) for each in steps] == [(k, 4) for k in range(1, 5)]
    epochs = [each for each in heard if each.startswith("epoch")]
    assert [each.row for each in epochs] == list(result.history)
    assert heard[0].startswith("training eeqdm")
    assert heard[0].done == 0
    assert heard[-1] == "training ended"


def test_a_listener_with_methods_hears_the_same_numbers(trained):
    _, result, heard = trained
    calls: list[tuple] = []

    class Listener(TrainingProgress):
        def start(self, config, model, steps, done):
            calls.append(("start", config.model, steps, done))

        def step(self, epoch, loss):
            calls.append(("step", epoch, loss))

        def epoch(self, row):
            calls.append(("epoch", row))

        def note(self, text):
            calls.append(("note", text))

        def stop(self):
            calls.append(("stop",))

    listener = Listener()
    for each in heard:
        listener(each)
    listener(Message("a sentence"))
    assert calls[0] == ("start", "eeqdm", 4, 0)
    assert [each[1] for each in calls if each[0] == "step"] == [1, 1, 2, 2]
    assert [each[1] for each in calls if each[0] == "epoch"] == list(result.history)
    assert calls[-2:] == [("stop",), ("note", "a sentence")]


def test_sampling_counts_its_steps(trained):
    run = load_run(trained[0])
    heard: list[Message] = []
    made = sample(run, SamplingConfig(num_images=2), progress=heard.append)
    total = run.process.num_steps
    assert [(each, each.done, each.total) for each in heard] == [
        ("sampling", done, total) for done in range(total + 1)
    ]
    quiet = sample(run, SamplingConfig(num_images=2))
    assert torch.equal(torch.from_numpy(made.images), torch.from_numpy(quiet.images))


def test_what_a_listener_raises_stops_the_work(trained):
    def full(message: Message) -> None:
        raise BrokenPipeError(message)

    with pytest.raises(BrokenPipeError, match="sampling"):
        sample(load_run(trained[0]), SamplingConfig(num_images=1), progress=full)


def test_no_function_takes_progress_by_another_name():
    looked_at = 0
    for path in sorted(SOURCE.rglob("*.py")):
        # The rooms of hardware take the type when their commands are gathered in one context.
        text = path.read_text(encoding="utf-8")
        if path.relative_to(SOURCE).parts[0] == "hardware" or not SUSPECT.search(text):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                written = "" if argument.annotation is None else ast.unparse(argument.annotation)
                if argument.arg in OTHER_WORDS:
                    assert "Callable" not in written, f"{node.name}({argument.arg}) in {path}"
                if argument.arg == "progress":
                    # None is a front's: it shows what fits the place that it runs in.
                    assert written in ("Progress", "Progress | None"), (
                        f"{node.name}(progress: {written}) in {path}"
                    )
                    looked_at += 1
    assert looked_at > 15


def test_training_takes_the_type_of_all():
    assert inspect.signature(train).parameters["progress"].default is silent
