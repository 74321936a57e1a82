"""What simulates a device's noise in a sampling run, and what the run says of it."""

from __future__ import annotations

import numpy as np

import qdm_qiskit as qdm
from qdm_qiskit.sampling import SamplingConfig, sample


def test_a_sampling_run_says_what_simulated_it_and_aer_has_the_same_distribution(make_run):
    run = make_run("qddm", image_size=2, depth=1, num_steps=2)
    shots, images = 4000, {}
    for simulator in ("auto", "engine", "aer"):
        config = SamplingConfig(
            target="noisy:fake_quito", num_images=3, shots=shots, layout_trials=1,
            simulator=simulator, seed=4,
        )  # fmt: skip
        found = sample(run, config)
        images[simulator] = found.trajectory
        assert found.manifest["sampling"]["simulator"] == simulator
        options = found.manifest["device"]["runner"]["options"]
        if simulator == "aer":
            assert "circuits_on" not in options
        else:
            assert options["simulator"] == simulator
            assert options["circuits_on"] == {"engine": 6, "aer": 0}
    np.testing.assert_array_equal(images["auto"], images["engine"])
    # The first step starts from the same noise. A pixel is 4 times a frequency of at most 1.
    gap = np.abs(images["aer"][1] - images["engine"][1])
    assert 0 < gap.max() < 4 * 5 * np.sqrt(2 * 0.25 / shots)


def test_python_users_choose_by_name_too(make_run):
    run = make_run("qddm", image_size=2, depth=1, num_steps=2)
    found = qdm.sample(run, "noisy:fake_quito", num_images=1, shots=50, simulator="aer")
    assert found.manifest["sampling"]["simulator"] == "aer"
