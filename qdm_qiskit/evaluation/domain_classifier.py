"""A small classifier of the data set's own classes, whose features make distances meaningful.

Inception has never seen a handwritten digit of 8 x 8 pixels; a network of the images' own domain
has. It is trained once for each data set with a fixed seed and kept as safetensors, named by the
hash of everything that it depends on.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..errors import InvalidData
from ..files import write_bytes
from ..rng import derived_seed, stream
from .image_metrics import check_images

__all__ = [
    "BATCH",
    "FEATURES",
    "LEARNING_RATE",
    "SCHEMA",
    "VISITS",
    "DomainClassifier",
    "DomainNetwork",
    "domain_classifier",
    "keep_classifier",
]

SCHEMA = "qdm-domain-classifier/1"
"""Raised with every change to the network or its training, so that old files are not used."""
FEATURES = 32
"""Features of an image: the values before the last activation, standardised on training images."""
VISITS = 30_000
"""Images seen in training beyond one pass over all of them; a small set is seen more often."""
BATCH = 128
"""Images of a training step."""
LEARNING_RATE = 5e-3
"""Adam's first step size; it falls to 0 along a cosine."""
_READ_BATCH = 1024


class DomainNetwork(nn.Module):
    """Two convolutions, :data:`FEATURES` features, one linear layer of classes.

    Args:
        channels: Channels of the images.
        size: Height or width, whichever is smaller; at least 2.
        classes: Classes, at least 2.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        pooled = min(4, size)
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2) if size >= 16 else nn.Identity(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2) if size >= 8 else nn.Identity(),
            nn.AdaptiveAvgPool2d(pooled),
            nn.Flatten(),
            nn.Linear(32 * pooled**2, FEATURES),
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, classes))
        self.register_buffer("feature_mean", torch.zeros(FEATURES))
        self.register_buffer("feature_scale", torch.ones(FEATURES))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised features ``(batch, FEATURES)`` and logits ``(batch, classes)``."""
        features = self.body(2 * images - 1)
        return (features - self.feature_mean) / self.feature_scale, self.head(features)


@dataclass(frozen=True)
class DomainClassifier:
    """A trained classifier and its accuracy."""

    network: DomainNetwork
    classes: tuple[int, ...]
    """The labels, in the order of the logits."""
    accuracy: float
    """Share of the test images that it names rightly."""
    test_count: int
    """Number of those."""
    identity: str
    """SHA-256 of its training data, seed and schema."""
    cached: bool
    """True if it was read from a file rather than trained now."""

    @torch.no_grad()
    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the network's features of images.

        Args:
            images: ``(count, channels, height, width)`` in [0, 1], of the size that it knows.

        Returns:
            Features ``(count, FEATURES)`` and logits ``(count, classes)``, float64.
        """
        parts = [
            self.network(torch.from_numpy(np.ascontiguousarray(part, np.float32)))
            for part in np.split(images, range(_READ_BATCH, len(images), _READ_BATCH))
        ]
        features, logits = (torch.cat(each).double().numpy() for each in zip(*parts, strict=True))
        return features, logits


def domain_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    *,
    folder: Path | None = None,
    seed: int = 0,
) -> DomainClassifier:
    """Train a classifier, or read the one that was trained on the same images before.

    Args:
        images: ``(count, channels, size, size)`` in [0, 1].
        labels: ``(count,)`` integers of at least two values.
        test_images: Images that are not among them.
        test_labels: Their labels.
        folder: Folder of kept classifiers; None keeps none.
        seed: Seed of weights and batches.

    Returns:
        The classifier in evaluation mode.

    Raises:
        InvalidData: If images cannot be used, or there are fewer than two classes.
        OutputNotWritable: If it cannot be kept.
    """
    check_images(images, "classifier's training images")
    check_images(test_images, "classifier's test images")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise InvalidData(
            f"A classifier of the data set needs labels of at least two classes, got {len(classes)}: "
            "take a reference with labels (an array 'labels' in a .npz file)."
        )
    shape = images.shape[1:]
    if test_images.shape[1:] != shape or not np.isin(test_labels, classes).all():
        raise InvalidData(
            f"The classifier's test images need the size {shape} and the classes of its training "
            f"images, got {test_images.shape[1:]}."
        )
    identity = _identity(images, labels, test_images, test_labels, seed)
    path = None if folder is None else _file(folder, identity)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "evaluation", 10))
        network = DomainNetwork(shape[0], min(shape[1:]), len(classes))
    known = tuple(int(each) for each in classes)
    accuracy = None if path is None else _restore(network, path, identity)
    if accuracy is not None:
        return DomainClassifier(
            network.eval(), known, accuracy, len(test_labels), identity, cached=True
        )
    _train(network, images, np.searchsorted(classes, labels), seed)
    trained = DomainClassifier(network.eval(), known, 0.0, len(test_labels), identity, cached=False)
    answers = classes[trained.read(test_images)[1].argmax(axis=1)]
    accuracy = float((answers == test_labels).mean())
    made = DomainClassifier(network, known, accuracy, len(test_labels), identity, cached=False)
    if folder is not None:
        keep_classifier(made, folder)
    return made


def keep_classifier(classifier: DomainClassifier, folder: Path) -> None:
    """Write a classifier into a folder, from which :func:`domain_classifier` reads it.

    Raises:
        OutputNotWritable: If it cannot be written.
    """
    metadata = {
        "schema": SCHEMA,
        "identity": classifier.identity,
        "accuracy": repr(classifier.accuracy),
    }
    content = save(classifier.network.state_dict(), metadata)
    write_bytes(_file(folder, classifier.identity), content)


def _file(folder: Path, identity: str) -> Path:
    return folder / f"{identity[:32]}.safetensors"


def _train(network: DomainNetwork, images: np.ndarray, targets: np.ndarray, seed: int) -> None:
    steps = math.ceil((VISITS + len(images)) / BATCH)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    pixels = torch.from_numpy(np.ascontiguousarray(images, np.float32))
    goals = torch.from_numpy(targets.astype(np.int64))
    rng = stream(seed, "evaluation", 11)
    order = np.concatenate(
        [rng.permutation(len(images)) for _ in range(math.ceil(steps * BATCH / len(images)))]
    )
    for step in range(steps):
        rows = torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])
        loss = nn.functional.cross_entropy(network(pixels[rows])[1], goals[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        features = torch.cat([network.body(2 * part - 1) for part in pixels.split(_READ_BATCH)])
        network.feature_mean.copy_(features.mean(dim=0))
        network.feature_scale.copy_(features.std(dim=0).clamp_min(1e-6))


def _identity(*parts: np.ndarray | int) -> str:
    digest = hashlib.sha256()
    for part in (SCHEMA, FEATURES, VISITS, BATCH, LEARNING_RATE, *parts):
        if isinstance(part, np.ndarray):
            digest.update(json.dumps([str(part.dtype), part.shape]).encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(json.dumps(part).encode() + b"\n")
    return digest.hexdigest()


def _restore(network: DomainNetwork, path: Path, identity: str) -> float | None:
    """Fill the network from a kept file; None where there is none that can be used."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if (metadata.get("schema"), metadata.get("identity")) != (SCHEMA, identity):
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
        accuracy = float(metadata["accuracy"])
        if not 0 <= accuracy <= 1 or not all(torch.isfinite(t).all() for t in tensors.values()):
            return None
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError):
        return None  # a file that cannot be read is as good as none: train again and replace it
    return accuracy
