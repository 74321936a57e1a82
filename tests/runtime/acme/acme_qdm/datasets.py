"""A data set that is drawn."""

from __future__ import annotations

import numpy as np

from qdm_qiskit.data import Dataset, LabelledImages


class Stripes(Dataset):
    """Stripes of two directions."""

    name = "acme-stripes"
    classes = ("upright", "level")
    licence = "CC0"
    source = "drawn by Acme"
    description = "stripes of two directions"

    def load(self) -> LabelledImages:
        """80 images of 4x4."""
        noise = np.random.default_rng(0).uniform(0.05, 0.25, (40, 4, 4))
        upright = np.tile([0.0, 0.0, 0.7, 0.7], (40, 4, 1)) + noise
        images = np.concatenate([upright, upright.swapaxes(1, 2)])
        return LabelledImages(images, np.repeat([0, 1], 40))
