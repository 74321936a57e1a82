"""What stands beside a model of latents: simpler denoisers that share its codec.

The best constant of each class, the Gaussian of each class, the best linear map, and a network of as
many parameters. Samples of each are named by a classifier about as well as those of a circuit, so no
figure of a circuit means much without them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..diffusion import VelocityPrediction
from .latent_codecs import LatentCodec
from .on_latents import ComparedLatents, LatentOptions, OnLatents
from .told import check_labels, num_told, told

__all__ = [
    "BESIDE",
    "ClassGaussian",
    "LatentBaseline",
    "LinearMap",
    "Mlp",
    "make_beside",
]

BESIDE = ("class_means", "class_gaussian", "linear", "mlp", "no_entanglers")
"""Names beside a :class:`.Line`, in the order of tables; of other models the last ones differ."""


class LatentBaseline(OnLatents):
    """A denoiser that takes sizes, classes and codec from the model beside which it stands.

    Args:
        config: The model's options.
        codec: The model's, fitted.
    """

    config: LatentOptions
    state_space = "real"

    def __init__(self, config: LatentOptions, codec: LatentCodec) -> None:
        super().__init__()
        self.config, self.codec = config, codec
        self.image_shape = (config.channels, config.image_size, config.image_size)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`.Denoiser.forward`."""
        self.check_states(x)
        check_labels(labels, self.config.classes_told, len(x), self.name)
        return self.velocity(x, t.to(x), labels)

    def velocity(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Predict; arguments as checked by :meth:`forward`."""
        raise NotImplementedError

    def _told(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        return told(t.to(x), labels, self.config.classes_told, self.config.conditioning)


class ClassGaussian(LatentBaseline):
    """The best prediction if each class were a normal distribution: closed form, nothing trained.

    Its samples are draws from those. With ``spread`` false the classes are points: the class means.

    Args:
        config, codec: As for :class:`LatentBaseline`.
        process: Gives alpha and sigma.
        spread: False for covariances of 0.
    """

    name = "class_gaussian"
    means: Tensor
    variances: Tensor
    axes: Tensor

    def __init__(
        self,
        config: LatentOptions,
        codec: LatentCodec,
        process: VelocityPrediction,
        *,
        spread: bool,
    ) -> None:
        super().__init__(config, codec)
        self.process, self.spread = process, spread
        classes, size = config.classes_told or 1, config.latents
        self.register_buffer("means", torch.zeros(classes, size))
        self.register_buffer("variances", torch.zeros(classes, size))
        self.register_buffer("axes", torch.eye(size).repeat(classes, 1, 1))

    @torch.no_grad()
    def fit(self, x_0: Tensor, labels: Tensor) -> None:
        """Take mean and covariance of each class.

        Args:
            x_0: ``(count, latents)``, states of training images.
            labels: ``(count,)`` class indices; not used by a model that is not guided.
        """
        for index in range(len(self.means)):
            rows = x_0 if self.config.classes_told is None else x_0[labels == index]
            if not len(rows):
                continue
            self.means[index] = rows.mean(dim=0)
            if self.spread and len(rows) > 1:
                values, vectors = torch.linalg.eigh(torch.cov(rows.double().t()))
                self.variances[index] = values.clamp(min=0).to(self.variances)
                self.axes[index] = vectors.to(self.axes)

    def velocity(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`LatentBaseline.velocity`."""
        if labels is None:
            labels = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        alpha, sigma = self.process.scales(torch.round(t * self.process.num_steps), x)
        mean, axes, variance = self.means[labels], self.axes[labels], self.variances[labels]
        off = torch.einsum("bji,bj->bi", axes, x - alpha * mean)  # along the axes of the class
        share = alpha * variance / (alpha**2 * variance + sigma**2)
        x_0 = mean + torch.einsum("bij,bj->bi", axes, share * off)
        return (alpha * x - x_0) / sigma


class LinearMap(LatentBaseline):
    """A linear map of x_t, the time's functions and the class: 176 parameters for ten classes."""

    name = "linear"

    def __init__(self, config: LatentOptions, codec: LatentCodec) -> None:
        super().__init__(config, codec)
        self.map = nn.Linear(config.latents + num_told(config.classes_told), config.latents)

    @torch.no_grad()
    def fit(self, x: Tensor, t: Tensor, labels: Tensor | None, target: Tensor) -> None:
        """Take the least squares of velocities; arguments ``(pairs, ...)``."""
        rows = torch.cat([self._rows(x, t, labels), torch.ones(len(x), 1)], dim=1).double()
        # One-hot classes sum to the constant, so the solution is the one of least norm.
        found = torch.linalg.lstsq(rows, target.double(), driver="gelsd").solution
        self.map.weight.copy_(found[:-1].t())
        self.map.bias.copy_(found[-1])

    def velocity(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`LatentBaseline.velocity`."""
        return self.map(self._rows(x, t, labels))

    def _rows(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        return torch.cat([x, self._told(x, t, labels)], dim=1)


class Mlp(LatentBaseline):
    """A network with one hidden layer of SiLU and about as many parameters as the model.

    Args:
        config, codec: As for :class:`LatentBaseline`.
        parameters: Those of the model.
        generator: Source of the initial weights, by PyTorch's rule.
    """

    name = "mlp"

    def __init__(
        self,
        config: LatentOptions,
        codec: LatentCodec,
        parameters: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(config, codec)
        width = config.latents + num_told(config.classes_told)
        hidden = max(1, round((parameters - config.latents) / (width + 1 + config.latents)))
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, config.latents)
        )
        for layer in (self.net[0], self.net[2]):
            assert isinstance(layer, nn.Linear)
            for each in (layer.weight, layer.bias):
                bound = layer.in_features**-0.5
                nn.init.uniform_(each, -bound, bound, generator=generator)

    def velocity(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`LatentBaseline.velocity`."""
        return self.net(torch.cat([x, self._told(x, t, labels)], dim=1))


def make_beside(
    model: ComparedLatents,
    process: VelocityPrediction,
    generator: torch.Generator | None = None,
) -> dict[str, OnLatents]:
    """Return everything that stands beside a model, not fitted.

    Args:
        model: With a fitted codec, which all share.
        process: Its process.
        generator: Source of the initial weights.

    Returns:
        The first four of :data:`BESIDE`, and the model's own counterparts.
    """
    config, codec = model.config, model.codec
    found: dict[str, OnLatents] = {
        "class_means": ClassGaussian(config, codec, process, spread=False),
        "class_gaussian": ClassGaussian(config, codec, process, spread=True),
        "linear": LinearMap(config, codec),
        "mlp": Mlp(config, codec, model.num_parameters, generator),
    }
    for name, other in model.counterparts(generator).items():
        other.codec = codec
        found[name] = other
    return found
