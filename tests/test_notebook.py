"""Objects in a notebook: HTML that parses, holds their numbers, and lets no markup of a name in."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from qiskit import QuantumCircuit

import qdm_qiskit as qdm
from qdm_qiskit import notebook
from qdm_qiskit.circuits import ExpectationReadout, eeqdm, register_spec
from qdm_qiskit.data import image_grid
from qdm_qiskit.sampling import Samples

EVIL = '<script>alert("x")</script>&<b>'
SMALL = {"image_size": 2, "depth": 1, "num_steps": 2, "train_count": 8, "epochs": 1}
VOID = {"img", "br", "hr"}


class Page(HTMLParser):
    """Collects tags and text, and refuses what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.pictures: list[str] = []
        self.cells: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data

    def fact(self, name: str) -> str:
        """The cell beside a name."""
        return self.cells[self.cells.index(name) + 1]


def shown(value: object) -> Page:
    text = value._repr_html_()
    assert repr(value).count("\n") == 0
    page = Page(text)
    assert "script" not in page.tags
    return page


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def result(folder):
    return qdm.train("eeqdm", folder / "a<i>run", **SMALL)


@pytest.fixture(scope="module")
def run(result):
    return qdm.load_run(result.run)


def test_data_show_their_images_and_labels(folder):
    images = np.random.default_rng(0).random((40, 4, 4))
    file = folder / f"{EVIL.replace('/', '')}.npz"
    np.savez(file, images=images, labels=np.arange(40) % 2)
    split = qdm.load_dataset(f"npz:{file}", image_size=4)
    page = shown(split)
    assert "32 training and 8 test images" in page.words
    assert page.cells == ["label", "training", "test", "0", "16", "4", "1", "16", "4"]
    assert str(file) in page.words
    assert len(shown(split.test).pictures) == 1


def test_restored_images_and_exported_circuits_show(folder, run):
    page = shown(qdm.restore(run, mask="left", num_images=2))
    assert (page.cells[:2], len(page.pictures)) == (["", "mean squared error"], 1)
    page = shown(qdm.export(run, out=folder / EVIL.replace("/", "")))
    assert page.cells[5:7] == ["eeqdm", "3"]
    assert EVIL.replace("/", "") in page.words


def test_a_program_says_what_it_takes():
    circuit = eeqdm(num_data=2, depth=1).circuit
    program = qdm.compile_circuit(circuit, weights=list(circuit.parameters))
    assert repr(program) == "<CircuitProgram: 3 qubits, 0 inputs, 6 weights>"


# -- the helper ------------------------------------------------------------------------------


@given(st.text(), st.text())
def test_text_comes_out_as_it_went_in_and_never_as_markup(title, value):
    page = Page(notebook.card(title, notebook.facts([("name", value)]), notebook.note(value)))
    assert page.tags == ["div", "p", "strong", "table", "tbody", "tr", "td", "td", "p"]
    for each in (title, value):
        # The parser reads \r as HTML does.
        assert each.replace("\r\n", "\n").replace("\r", "\n").replace(
            "\0", ""
        ) in page.words.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def test_every_way_in_escapes():
    parts = (
        notebook.table([EVIL], [[EVIL, notebook.note(EVIL)]]),
        notebook.drawing(EVIL),
        notebook.folded(EVIL, notebook.note(EVIL)),
        notebook.picture(b"png", EVIL + "' onerror='x"),
    )
    page = Page(notebook.card(EVIL, *parts, about=EVIL))
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert page.words.count("<script>") == 8


def test_values_are_shown_plainly_and_missing_ones_left_out():
    page = Page(notebook.card("x", notebook.facts([("a", None), ("b", 0), ("c", 1 / 3)])))
    assert page.cells == ["b", "0", "c", "0.3333"]
    row = Page(notebook.card("x", notebook.table((), [[None, True, False]])))
    assert row.cells == ["-", "yes", "no"]


def test_one_line_stays_one_line():
    assert notebook.one_line("X", "a\nb", 1) == "<X: a b, 1>"


def test_the_helper_loads_nothing():
    heavy = "[m for m in ('torch', 'numpy') if m in sys.modules]"
    code = f"import sys, qdm_qiskit.notebook; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# -- objects ---------------------------------------------------------------------------------


def test_spec_shows_roles_counts_and_drawing():
    spec = eeqdm(num_data=2, depth=2)
    page = shown(spec)
    assert page.fact("qubits") == "3: 2 data, 1 ancilla"
    assert page.fact("weights").startswith(f"{len(spec.weights)}: w_0000 .. w_")
    assert page.fact("depth") == str(spec.circuit.depth())
    assert page.fact("read out") == "4 probabilities of q[1], q[2], where q[0] = 0"
    assert "q_0" in page.words


def test_spec_of_a_users_circuit_shows_his_names():
    circuit = QuantumCircuit(1, name=EVIL)
    from qiskit.circuit import Parameter

    circuit.rx(Parameter("<grey>"), 0)
    circuit.ry(Parameter("theta"), 0)
    from qiskit.quantum_info import SparsePauliOp

    spec = qdm.CircuitSpec.from_circuit(
        circuit,
        inputs=["<grey>"],
        weights=["theta"],
        readout=SparsePauliOp(["Z", "X"], [1.0, -0.5]),
        source=EVIL,
    )
    page = shown(spec)
    assert isinstance(spec.readout, ExpectationReadout)
    assert page.fact("inputs") == "1: <grey>"
    assert page.fact("read out") == "1 expectation values: 1 Z + -0.5 X"
    assert page.fact("source") == EVIL


def test_a_circuit_too_large_to_read_is_not_drawn():
    circuit = QuantumCircuit(2, name="long")
    for _ in range(1500):
        circuit.h(0)
        circuit.cx(0, 1)
    page = shown(register_spec(circuit, source="x"))
    assert "not drawn" in page.words
    assert "pre" not in page.tags


@pytest.mark.parametrize("name", ["eeqdm", "qu_net", "classical_unet", "quddpm"])
def test_every_kind_of_model_shows_its_size(name):
    from qdm_qiskit.models import resolve

    model = qdm.build_model(resolve(name))
    page = shown(model)
    assert page.fact("parameters") == f"{model.num_parameters:,}"
    assert page.fact("in circuits") == f"{model.num_quantum_parameters:,}"
    assert page.fact("qubits") == str(model.num_qubits)


def test_a_users_model_hides_the_circuits_text():
    model = qdm.Denoiser.from_spec(eeqdm(num_data=2, depth=1), image_shape=(1, 2, 2))
    assert model.config.circuit not in model._repr_html_()


def test_training_shows_the_loss_beside_what_costs_nothing(result):
    page = shown(result)
    row = result.history[-1]
    assert page.fact("test loss") == f"{row['test_loss']:.4g}"
    assert page.fact("identity: predicting no change at all") == f"{row['identity_loss']:.4g}"
    assert page.fact("classical U-Net") == f"{row['baseline_loss']:.4g}"
    assert page.fact("progress") == "1 epochs complete"


def test_run_shows_its_model_and_data(run):
    page = shown(run)
    assert page.fact("data set") == "digits"
    assert page.fact("process") == "interpolated, 2 steps"
    assert str(run.checkpoint) in page.words
    assert shown(qdm.QDMPipeline(run)).words == page.words


def picture_of(page: Page) -> Image.Image:
    head, _, data = page.pictures[0].partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def png_of(page: Page) -> np.ndarray:
    """The picture of grey images on a white ground."""
    found = picture_of(page).convert("RGBA")
    white = Image.new("RGBA", found.size, "white")
    return np.asarray(Image.alpha_composite(white, found).convert("L"))


def test_the_ground_of_a_grid_is_no_white_image(run):
    """White pixels at an image's edge, and a cell without an image, can be told from the ground."""
    alpha = np.asarray(picture_of(shown(qdm.sample(run, num_images=3))).getchannel("A"))
    cells = alpha[::8, ::8]  # 2 x 2 images of 2 x 2 pixels, a pixel between, the fourth missing
    wanted = np.kron([[1, 0, 1], [0, 0, 0], [1, 0, 0]], np.ones((2, 2)))[[0, 1, 2, 4, 5]]
    assert np.array_equal(cells, 255 * wanted[:, [0, 1, 2, 4, 5]])
    assert "background:#" in qdm.sample(run, num_images=3)._repr_html_()


def test_tables_stand_at_the_left_like_all_the_rest():
    assert Page(notebook.table(["a"], [[1]]).html).cells == ["a", "1"]
    assert notebook.table((), []).html.startswith('<table style="margin-left:0;')


def test_samples_show_their_images_pixel_by_pixel(run):
    samples = qdm.sample(run, num_images=5)
    page = shown(samples)
    wanted = image_grid(samples.images).repeat(8, axis=0).repeat(8, axis=1).squeeze(2)
    assert np.array_equal(png_of(page), wanted)
    assert page.fact("shots for each image and step") == "none: exact"
    output = qdm.QDMPipeline(run)(num_images=5)
    assert np.array_equal(png_of(shown(output)), wanted)


def test_many_samples_are_cut_and_it_is_said(run):
    samples = qdm.sample(run, num_images=70)
    page = shown(samples)
    assert "The first 64 of 70 images." in page.words
    assert png_of(page).shape[0] == image_grid(samples.images[:64]).shape[0] * 8


def test_samples_of_a_device_show_each_step(run):
    samples = qdm.sample(run, "noisy:fake_torino", num_images=2, shots=64, layout_trials=1)
    page = shown(samples)
    assert samples.records[-1].sentence in page.words
    assert page.cells[page.cells.index("2", page.cells.index("t")) + 1] == (
        f"{samples.records[0].raw_distance:.4g}"
    )


def test_names_in_a_manifest_are_escaped(run):
    samples = qdm.sample(run, num_images=1)
    manifest = {**samples.manifest, "run": {"model": EVIL}}
    page = shown(Samples(samples.images, samples.trajectory, manifest, ()))
    assert page.fact("model") == EVIL


def test_cost_shows_the_verdict_and_every_number():
    bell = QuantumCircuit(2, name="bell")
    bell.h(0)
    bell.cx(0, 1)
    report = qdm.cost(bell, trials=1)
    page = shown(report)
    assert report.backends[0].verdict.sentence in page.words
    place = page.cells.index("two-qubit gates")
    assert page.cells[place : place + 4] == ["two-qubit gates", "0", "1", "1"]


def test_budget_shows_what_is_left(folder):
    state = qdm.set_budget("b-1", seconds=60, shots=500, root=folder / "budgets")
    page = Page(state._repr_html_())
    assert page.cells[5:10] == ["QPU seconds", "60", "0", "0", "60"]
    assert page.cells[10:] == ["shots", "500", "0", "0", "500"]


def test_plan_and_run_show_price_progress_and_images(folder, run, result):
    root = folder / "runs"
    plan = qdm.plan(
        result.run, "local:fake_torino", num_images=3, shots=64, layout_trials=1, root=root
    )
    page = shown(plan)
    assert page.fact("jobs") == "2"
    assert page.fact("shots") == "384"
    assert page.fact("QPU seconds if the device itself ran it") == f"about {plan.total_seconds:.1f}"
    assert page.fact("t = 2 .. 1") == "2"
    assert page.fact("model") == "eeqdm (a<i>run)"
    waiting = shown(qdm.HardwareRun.find("latest", root=root))
    assert (waiting.fact("state"), waiting.fact("steps done")) == ("planned", "0 of 2")
    assert waiting.pictures == []
    sent = qdm.submit(plan, yes=True)
    done = shown(sent)
    assert (done.fact("state"), done.fact("steps done")) == ("done", "2 of 2")
    assert done.fact("QPU seconds charged") == "0.0"
    assert np.array_equal(
        png_of(done), image_grid(sent.images).repeat(8, axis=0).repeat(8, axis=1).squeeze(2)
    )
    assert Page(sent.state._repr_html_()).fact("jobs") == "2"
    again, verified = shown(sent.replay()), shown(sent.verify())
    assert "the stored ones to the bit" in again.words
    assert again.cells[3:5] == ["2", "64"]
    assert "ledger and folder agree" in verified.words
    assert verified.cells[6:8] == [sent.replay().steps[0].job_id, "step-0002"]
    (plan.folder / "samples.png").write_bytes(b"")
    assert "samples.png is damaged" in shown(sent.verify()).words


def test_a_run_whose_plan_was_changed_says_so_and_shows(folder, run, result):
    plan = qdm.plan(result.run, "aer", num_images=1, shots=8, seed=9, root=folder / "changed")
    found = qdm.HardwareRun(plan.folder)
    path = plan.folder / "plan.json"
    path.write_text(path.read_text().replace('"num_images": 1', '"num_images": 2', 1))
    for log in (folder / "changed").glob("ledger.sqlite*"):
        log.unlink()
    assert "no plan that can be run" in shown(found).words
