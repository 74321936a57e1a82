"""What samples owe to which part, and the picture of all sets class by class."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.evaluation.measurement import in_columns
from qdm_qiskit.evaluation.owed import owed, owed_to_model
from qdm_qiskit.models import ModelChoice, build_model
from qdm_qiskit.models.beside import make_beside
from qdm_qiskit.reports.figures import png_bytes
from qdm_qiskit.reports.side_by_side import draw_by_class, headline_metrics
from qdm_qiskit.training import resolve_run

LINE = {"image_size": 4, "latents": 3, "num_qubits": 3, "uploads": 2, "bricks": 1, "guided": True}


def _built(name: str, **options: object):
    config = resolve_run(name, options)
    choice = ModelChoice(model=name, preset=None, config=config.model_options, source="")
    return build_model(choice), config


def test_each_model_says_what_its_samples_owe_to_what():
    line, config = _built("line", **LINE)
    told = owed_to_model(line, config)
    assert told[:2] == ["the class, told", "3 latents of an autoencoder, fitted to training images"]
    angles, numbers = line.num_quantum_parameters, line.num_parameters
    assert told[2:] == [
        f"{angles} trained angles of a circuit of 3 qubits",
        f"{numbers - angles} trained numbers outside it",
    ]
    beside = make_beside(line, None)  # type: ignore[arg-type]  (its process is asked when it predicts)
    parts = {name: "; ".join(owed_to_model(each, config)) for name, each in beside.items()}
    assert "their mean in the class, no circuit" in parts["class_means"]
    assert "a Gaussian of the class's latents, no circuit" in parts["class_gaussian"]
    assert f"a linear map, no circuit; {beside['linear'].num_parameters} trained" in parts["linear"]
    assert "a classical network, no circuit" in parts["mlp"]
    assert "a circuit of 3 qubits, none of two qubits" in parts["no_entanglers"]
    plain, its = _built("q_dense", image_size=4, depth=1)
    assert owed_to_model(plain, its) == [
        "no class told",
        f"{plain.num_parameters} trained angles of a circuit of {plain.num_qubits} qubits",
    ]
    classical, its = _built("classical_unet", image_size=8)
    assert owed_to_model(classical, its)[1] == "no circuit"


def test_a_target_says_what_it_and_its_remedies_did():
    _, config = _built("line", **LINE)
    manifest = {
        "sampling": {"target": "noisy:fake_torino", "shots": 256, "mitigation": "m3"},
        "device": {"circuit": {"two_qubit_gates": 15}, "tiles": {"tiles": [{}, {}]}},
        "refit": {"circuits": 300},
    }
    sentence = owed(config, manifest)
    assert sentence.startswith("the class, told; ")
    assert sentence.endswith(
        "256 shots on noisy:fake_torino; 15 two-qubit gates a circuit; 2 places of the chip at once; "
        "readout mended by M3; a head fitted again to 300 circuits there"
    )
    assert "shots" not in owed(config, {"sampling": {"shots": None}})
    called = {
        "sampling": {"target": "aer", "shots": 9, "loader": "bricks:2"},
        "device": {"calls": []},
    }
    assert owed(config, called).endswith("9 shots on aer; loader bricks:2")


@pytest.mark.parametrize(
    "manifest",
    [
        {"sampling": {"shots": "many"}},
        {"sampling": {"shots": 9}, "device": {"calls": {"a": 1}, "tiles": {"tiles": 3}}},
        {"sampling": {"shots": 9}, "device": {"calls": [7]}, "refit": [1]},
    ],
)
def test_a_damaged_record_says_less(manifest):
    assert owed(_built("line", **LINE)[1], manifest).startswith("the class, told")


@pytest.mark.parametrize("labels", [None, np.array([1, 0, 1, 1, 0])])
def test_images_stand_in_the_columns_of_their_classes(labels):
    images = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) / 10
    found = in_columns(images, labels, [0, 1, 2]).ravel()
    ones = [1.0, 1.0]
    expected = [0, 0.1, 0.2, 0.3, 0.4, 1] if labels is None else [0.1, 0.4, 0, 0.2, *ones]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_the_picture_holds_every_set():
    rows = [{"name": "a", "owes": "a <b>circuit</b>", "metrics": {}}]
    rows[0]["metrics"] = {"label_accuracy": {"estimate": 0.5}}
    sets = {"real": np.ones((4, 1, 4, 4)), "a": np.zeros((4, 1, 4, 4))}
    assert png_bytes(draw_by_class({"rows": rows}, sets)).startswith(b"\x89PNG")
    assert headline_metrics(rows[0]) == "named as asked 50%"
