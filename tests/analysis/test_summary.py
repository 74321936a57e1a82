"""The whole analysis and its pictures, for circuits that do much and for circuits that do nothing."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qdm_qiskit.analysis import analyse, bloch_vectors, haar_gradient_variance
from qdm_qiskit.analysis.estimates import Estimate
from qdm_qiskit.analysis.gradients import GradientScan
from qdm_qiskit.analysis.pictures import BLOCH_LABELS, analysis_pictures, scan_picture
from qdm_qiskit.circuits import TEMPLATES
from qdm_qiskit.errors import InvalidOption

SMALL = {"samples": 20, "repeats": 2}


def sizes(pictures: dict[str, bytes]) -> dict[str, tuple[int, int]]:
    found = {}
    for name, content in pictures.items():
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert np.asarray(picture.convert("L")).std() > 5  # not blank
            found[name] = picture.size
    return found


@pytest.mark.parametrize(
    "name",
    [
        "phase_mixing",
        pytest.param("phase_encoding", marks=pytest.mark.slow),
        pytest.param("eeqdm", marks=pytest.mark.slow),
        "conv_unit",
    ],
)
def test_every_kind_of_circuit_has_numbers_and_pictures(name):
    analysis = analyse(TEMPLATES[name].example(), **SMALL)
    for estimate, reference in analysis.estimates().values():
        assert estimate.low <= estimate.value <= estimate.high
        assert np.isfinite(reference)
    assert set(sizes(analysis_pictures(analysis))) == {
        "expressibility.png",
        "entanglement.png",
        "bloch.png",
        "gradients.png",
    }
    json.dumps(analysis.to_dict(), allow_nan=False)


def test_a_circuit_that_does_nothing_scores_nothing():
    """Controlled phases see only |0000>, and a Fourier transform of that is a product."""
    found = analyse(TEMPLATES["phase_mixing"].example(), **SMALL).estimates()
    for name in ("meyer_wallach", "gradient_variance_global", "gradient_variance_local"):
        assert found[name][0] == Estimate(0.0, 0.0, 0.0)
    assert found["fisher_rank"][0].value == 0
    assert found["frame_potential"][0].value == pytest.approx(16 * 17 / 2)


def test_references_are_those_of_haar_states():
    found = analyse(TEMPLATES["qamp_layers"].example(), **SMALL).estimates()
    assert found["meyer_wallach"][1] == 14 / 17
    assert found["gradient_variance_global"][1] == haar_gradient_variance("global", 4)
    assert found["fisher_rank"][1] == 15  # as many as parameters


def test_one_qubit_is_enough():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("w_0000"), 0)
    analysis = analyse(circuit, **SMALL)
    assert analysis.estimates()["meyer_wallach"] == (Estimate(0.0, 0.0, 0.0), 0.0)
    assert sizes(analysis_pictures(analysis))["bloch.png"][0] < 400


def test_progress_ends_at_its_total_and_never_falls():
    calls = []
    analyse(
        TEMPLATES["conv_unit"].example(),
        **SMALL,
        progress=lambda each: calls.append((each, each.done, each.total)),
    )
    done = [each[1] for each in calls]
    assert done == sorted(done)
    assert done[-1] == calls[-1][2] == 2 + 4


def test_a_seed_decides_every_number():
    spec = TEMPLATES["conv_unit"].example()
    first, second = (analyse(spec, **SMALL, seed=3).to_dict() for _ in range(2))
    assert first == second
    other = analyse(spec, **SMALL, seed=4).to_dict()
    for name in ("expressibility_kl", "meyer_wallach", "gradient_variance_local"):
        assert other["estimates"][name] != first["estimates"][name]


def test_too_many_samples_are_refused():
    with pytest.raises(InvalidOption, match=r"at most 1,000,000, got 1000 \* 1001"):
        analyse(TEMPLATES["conv_unit"].example(), samples=1000, repeats=1001)


def test_a_scan_of_any_length_is_drawn():
    points = tuple(Estimate(2.0**-n, 2.0**-n / 1.1, 2.0**-n * 1.1) for n in range(1, 5))
    for count in (1, 2, 4):
        scan = GradientScan(tuple(range(1, count + 1)), points[:count], (0.1,) * count)
        assert sizes({"scan.png": scan_picture({"global cost": scan}, "a title")})


def test_the_names_in_the_bloch_ball_stand_where_the_states_lie():
    states = {"|0>": [1, 0], "|1>": [0, 1], "x": [1, 1], "y": [1, 1j]}
    assert set(states) == set(BLOCH_LABELS)
    for name, place in BLOCH_LABELS.items():
        state = torch.tensor([states[name]], dtype=torch.complex128)
        found = bloch_vectors(state / state.norm())[0, 0]
        np.testing.assert_allclose(found, np.array(place) / np.linalg.norm(place), atol=1e-12)
