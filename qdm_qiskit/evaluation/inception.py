"""Inception's features, for metrics that can stand beside those of papers.

The network is that of FID's authors as torch-fidelity publishes it and torchmetrics uses it. Its
weights are 91 MB and not part of this package: a file on this machine, or a checksummed download.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..downloads import download
from ..errors import InvalidData, MissingData, MissingDependency
from .image_metrics import check_images

__all__ = [
    "FEATURES",
    "LEFT_OUT",
    "SHA256",
    "URL",
    "WARNING",
    "InceptionNetwork",
    "InceptionWeights",
    "inception_weights",
]

URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
FEATURES = 2048
WARNING = (
    "Inception FID, KID and score are misleading here: the network knows photographs of 299 x 299 "
    "pixels, not small grey images, and FID of few images is biased upward by far more than models "
    "differ. Trust the domain classifier's distances; compare Inception metrics only with others of "
    "the same number of images."
)
LEFT_OUT = (
    "Inception FID is left out: it needs `pip install 'qdm_qiskit[inception]'` and "
    "inception_weights: the path of a file, or 'download' (91 MB)."
)
_BATCH = 32


@dataclass(frozen=True)
class InceptionWeights:
    """A file of weights."""

    path: Path
    sha256: str

    @property
    def published(self) -> bool:
        """True if it is the published file, byte for byte."""
        return self.sha256 == SHA256


def inception_weights(source: str, folder: Path, *, accept_other: bool = False) -> InceptionWeights:
    """The weights on this machine.

    Args:
        source: A file's path, or ``download`` for the published file, fetched once.
        folder: Where a download is kept.
        accept_other: Take a file that is not the published one, byte for byte; metrics made with it
            cannot stand beside those of papers.

    Returns:
        The path and its checksum.

    Raises:
        MissingData: If there is no such file, or it cannot be downloaded with the right checksum.
        InvalidData: If a file differs from the published one, and ``accept_other`` is not set.
    """
    if source != "download":
        path = Path(source).expanduser()
        if not path.is_file():
            raise MissingData(
                f"There is no file {path} with Inception's weights; give inception_weights a "
                f"file, or 'download' for {URL}."
            )
        with open(path, "rb") as file:
            found = InceptionWeights(path, hashlib.file_digest(file, "sha256").hexdigest())
        if not (found.published or accept_other):
            raise InvalidData(
                f"{path} is not the published file of Inception's weights: its SHA-256 begins with "
                f"{found.sha256[:8]}, not {SHA256[:8]}; fetch it from {URL}, or take this one by "
                "accept_other_weights=True."
            )
        return found
    try:
        name = URL.rsplit("/", 1)[-1]
        fetched = download(URL, checksum=f"sha256:{SHA256}", folder=folder, name=name)
    except MissingData as reason:
        raise MissingData(
            f"Inception's weights could not be downloaded from {URL} ({reason}): fetch the file "
            "elsewhere and give inception_weights its path, or leave inception_weights out."
        ) from reason
    return InceptionWeights(fetched, SHA256)


class InceptionNetwork:
    """The network with its weights.

    Args:
        weights: From :func:`inception_weights`. The file is read without unpickling objects.

    Raises:
        MissingDependency: If torch-fidelity (or torchvision, which it needs) is not installed.
        InvalidData: If the file holds no weights of this network.
    """

    def __init__(self, weights: InceptionWeights) -> None:
        try:
            import torch_fidelity  # noqa: F401 (torchmetrics looks for it, but does not import all)
            from torchmetrics.image.fid import NoTrainInceptionV3
        except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
            raise MissingDependency(
                "Inception needs torch-fidelity and torchvision, which cannot be imported here "
                f"({' '.join(str(error).split())}): pip install 'qdm_qiskit[inception]', or leave "
                "inception_weights out."
            ) from error
        state = _read_state(weights.path)
        # torch-fidelity would unpickle whatever the file holds; it is given a file of tensors only.
        with tempfile.TemporaryDirectory() as folder:
            safe = Path(folder) / "weights.pth"
            torch.save(state, safe)
            try:
                self._network = NoTrainInceptionV3(
                    name="inception-v3-compat",
                    features_list=[str(FEATURES), "logits_unbiased"],
                    feature_extractor_weights_path=str(safe),
                )
            except RuntimeError as error:
                raise InvalidData(
                    f"{weights.path} does not hold the weights of FID's Inception network; the "
                    f"published file is {URL}."
                ) from error

    @torch.no_grad()
    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the network's features of images, grey ones repeated to three channels.

        Args:
            images: ``(count, 1 or 3, height, width)`` in [0, 1]; taken as bytes, as torchmetrics does.

        Returns:
            Features ``(count, 2048)`` and logits ``(count, 1008)``, float64.

        Raises:
            InvalidData: If the images cannot be used.
        """
        check_images(images, "images for Inception")
        features, logits = [], []
        for start in range(0, len(images), _BATCH):
            part = torch.from_numpy(
                np.clip(images[start : start + _BATCH], 0, 1).astype(np.float32)
            )
            pixels = (part * 255).byte()
            if pixels.shape[1] == 1:
                pixels = pixels.repeat(1, 3, 1, 1)
            answer: tuple[Tensor, ...] = self._network._torch_fidelity_forward(pixels)
            features.append(answer[0].reshape(len(part), -1))
            logits.append(answer[1])
        return torch.cat(features).double().numpy(), torch.cat(logits).double().numpy()


def _read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name, from safetensors or a torch file read with its restricted loader."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # whatever zipfile, the loader and safetensors raise on foreign bytes
        raise InvalidData(
            f"{path} cannot be read as weights ({type(error).__name__}): give a file of tensors, "
            f"such as {URL}."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(each, Tensor) for each in state.values()):
        raise InvalidData(f"{path} holds something else than tensors by name.")
    return state
