"""Classical generators that stand beside a run: a VAE, a GAN and a latent diffusion of equal size.

Each makes an image from standard normal numbers, and from the class where the run's model is told it,
by networks with one hidden layer. What makes images, the decoder or the generator with the denoiser of
its latents, has about as many parameters as the run's model; encoder and discriminator, which only
training needs, come on top. Where the model is so small that no network of the images' size is, the
smallest network stands there, and its size in the table says so.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from ..diffusion import VelocityPrediction
from .plain_optimizers import Adam
from .told import num_told, told

__all__ = [
    "COMPETITORS",
    "Competitor",
    "Gan",
    "LatentDiffusion",
    "Vae",
    "hidden_width",
    "make_competitor",
]

BATCH = 64
MOST_LATENTS = 8
"""Most normal numbers of an image."""
PENALTY = 1.0
"""Weight of the discriminator's squared gradient at real images (see :class:`Gan`)."""
CHAIN = 20
"""Steps of the latent diffusion."""
MOST_LOG_VARIANCE = 10.0


def hidden_width(parameters: int, inputs: int, outputs: int) -> int:
    """Return the hidden units of a network with one hidden layer and about so many parameters.

    >>> hidden_width(900, 8, 64), hidden_width(10, 8, 64)
    (11, 1)
    """
    return max(1, round((parameters - outputs) / (inputs + 1 + outputs)))


class Competitor(nn.Module, ABC):
    """A generator of images of one shape.

    Args:
        image_shape: (channels, height, width).
        parameters: Those of the run's model.
        classes: Classes that it is told; None for none.
        generator: Source of the initial weights.
    """

    name: ClassVar[str]
    """Name in tables and files."""
    rate: ClassVar[float] = 3e-3
    """Adam's step size, which falls to 0 along a cosine."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        parameters: int,
        classes: int | None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.image_shape, self.classes = image_shape, classes
        self.pixels = math.prod(image_shape)
        self.latents = min(MOST_LATENTS, self.pixels)
        self.told = classes or 0
        self._build(parameters, generator)

    @abstractmethod
    def _build(self, parameters: int, generator: torch.Generator) -> None:
        """Make the networks."""

    @abstractmethod
    def making(self) -> list[nn.Module]:
        """Return the networks that make an image."""

    @abstractmethod
    def train_step(self, x: Tensor, told: Tensor, generator: torch.Generator) -> None:
        """Take one step of the optimizers on a batch.

        Args:
            x: ``(batch, pixels)`` in [0, 1].
            told: ``(batch, classes)`` one-hot; no columns where there are no classes.
            generator: Source of randomness.
        """

    @abstractmethod
    def made(self, told: Tensor, generator: torch.Generator) -> Tensor:
        """Return ``(batch, pixels)`` in [0, 1]; arguments as for :meth:`train_step`."""

    @property
    def num_parameters(self) -> int:
        """Numbers of the networks that make an image."""
        return sum(p.numel() for each in self.making() for p in each.parameters())

    @property
    def num_trained(self) -> int:
        """Numbers of all its networks, those that only training needs among them."""
        return sum(p.numel() for p in self.parameters())

    def fit(
        self, images: Tensor, labels: Tensor | None, steps: int, generator: torch.Generator
    ) -> None:
        """Train by Adam on batches of 64.

        Args:
            images: ``(count, channels, height, width)`` in [0, 1].
            labels: ``(count,)`` class indices; None where there are no classes.
            steps: Steps, at least 1.
            generator: Source of randomness.
        """
        flat = images.flatten(1).float()
        one_hot = self._one_hot(labels, len(flat))
        self.optimizers = [Adam(each, lr=self.rate) for each in self._weights()]
        self.train()
        with torch.enable_grad():
            for step in range(steps):
                for optimizer in self.optimizers:
                    for group in optimizer.param_groups:
                        group["lr"] = self.rate * (1 + math.cos(math.pi * step / steps)) / 2
                rows = torch.randint(len(flat), (min(BATCH, len(flat)),), generator=generator)
                self.train_step(flat[rows], one_hot[rows], generator)
        self.eval()

    def _weights(self) -> list[list[nn.Parameter]]:
        """Parameters of each optimizer."""
        return [list(self.parameters())]

    @torch.no_grad()
    def draw(self, count: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return images ``(count, channels, height, width)`` in [0, 1].

        Args:
            count: Images, at least 1.
            labels: ``(count,)`` class indices; None where there are no classes.
            generator: Source of randomness.
        """
        made = self.made(self._one_hot(labels, count), generator)
        return made.clamp(0, 1).reshape(count, *self.image_shape)

    def _one_hot(self, labels: Tensor | None, count: int) -> Tensor:
        if self.classes is None or labels is None:
            return torch.zeros(count, 0)
        return nn.functional.one_hot(labels.long(), self.classes).float()

    def _net(self, inputs: int, hidden: int, outputs: int, generator: torch.Generator) -> nn.Module:
        net = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))
        for layer in (net[0], net[2]):
            assert isinstance(layer, nn.Linear)
            bound = layer.in_features**-0.5
            for each in (layer.weight, layer.bias):
                nn.init.uniform_(each, -bound, bound, generator=generator)
        return net

    def _noise(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, self.latents, generator=generator)


@final
class Vae(Competitor):
    """A variational autoencoder whose pixels share one deviation, the best one for each batch.

    References:
        Kingma and Welling, arXiv:1312.6114; Rybkin et al., arXiv:2006.13202, for the deviation.
    """

    name = "vae"

    def _build(self, parameters: int, generator: torch.Generator) -> None:
        inputs = self.latents + self.told
        hidden = hidden_width(parameters, inputs, self.pixels)
        self.decoder = self._net(inputs, hidden, self.pixels, generator)
        self.encoder = self._net(
            self.pixels + self.told, max(16, hidden), 2 * self.latents, generator
        )

    def making(self) -> list[nn.Module]:
        """See :meth:`Competitor.making`."""
        return [self.decoder]

    def train_step(self, x: Tensor, told: Tensor, generator: torch.Generator) -> None:
        """See :meth:`Competitor.train_step`; the loss is the negative evidence bound."""
        mean, log_variance = self.encoder(torch.cat([x, told], dim=1)).chunk(2, dim=1)
        log_variance = log_variance.clamp(-MOST_LOG_VARIANCE, MOST_LOG_VARIANCE)
        z = mean + (log_variance / 2).exp() * self._noise(len(x), generator)
        error = (self.decoder(torch.cat([z, told], dim=1)).sigmoid() - x).square().mean()
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2
        loss = self.pixels / 2 * (error + 1e-6).log() + divergence
        self.optimizers[0].zero_grad()
        loss.backward()
        self.optimizers[0].step()

    def made(self, told: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`Competitor.made`: the means of the pixels, without their deviation."""
        z = self._noise(len(told), generator)
        found: Tensor = self.decoder(torch.cat([z, told], dim=1)).sigmoid()
        return found


@final
class Gan(Competitor):
    """A generative adversarial network with the non-saturating loss and a penalty on gradients.

    References:
        Goodfellow et al., arXiv:1406.2661; Mescheder et al., arXiv:1801.04406, for the penalty.
    """

    name = "gan"
    rate = 2e-3

    def _build(self, parameters: int, generator: torch.Generator) -> None:
        inputs = self.latents + self.told
        hidden = hidden_width(parameters, inputs, self.pixels)
        self.maker = self._net(inputs, hidden, self.pixels, generator)
        self.judge = self._net(self.pixels + self.told, max(32, hidden), 1, generator)

    def making(self) -> list[nn.Module]:
        """See :meth:`Competitor.making`."""
        return [self.maker]

    def _weights(self) -> list[list[nn.Parameter]]:
        return [list(self.judge.parameters()), list(self.maker.parameters())]

    def train_step(self, x: Tensor, told: Tensor, generator: torch.Generator) -> None:
        """See :meth:`Competitor.train_step`: a step of the discriminator, then of the generator."""
        softplus = nn.functional.softplus
        real = torch.cat([x, told], dim=1).requires_grad_()
        fake = torch.cat([self.made(told, generator).detach(), told], dim=1)
        for_real = self.judge(real)
        [slope] = torch.autograd.grad(for_real.sum(), real, create_graph=True)
        penalty = PENALTY / 2 * slope.square().sum(dim=1).mean()
        loss = softplus(-for_real).mean() + softplus(self.judge(fake)).mean() + penalty
        self.optimizers[0].zero_grad()
        loss.backward()
        self.optimizers[0].step()
        fooled = softplus(-self.judge(torch.cat([self.made(told, generator), told], dim=1))).mean()
        self.optimizers[1].zero_grad()
        fooled.backward()
        self.optimizers[1].step()

    def made(self, told: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`Competitor.made`."""
        z = self._noise(len(told), generator)
        found: Tensor = self.maker(torch.cat([z, told], dim=1)).sigmoid()
        return found


@final
class LatentDiffusion(Competitor):
    """Diffusion of the latents of an autoencoder, by predicted velocities in 20 steps.

    The autoencoder trains in the first half of the steps, the denoiser on its whitened latents in the
    second. Two thirds of the parameters are the decoder's.

    References:
        Rombach et al., arXiv:2112.10752, at the size of these images.
    """

    name = "latent_diffusion"
    mean: Tensor
    spread: Tensor

    def _build(self, parameters: int, generator: torch.Generator) -> None:
        hidden = hidden_width(2 * parameters // 3, self.latents, self.pixels)
        self.decoder = self._net(self.latents, hidden, self.pixels, generator)
        left = parameters - sum(p.numel() for p in self.decoder.parameters())
        inputs = self.latents + num_told(self.classes)
        width = hidden_width(left, inputs, self.latents)
        self.denoiser = self._net(inputs, width, self.latents, generator)
        self.encoder = self._net(self.pixels, max(16, hidden), self.latents, generator)
        self.register_buffer("mean", torch.zeros(self.latents))
        self.register_buffer("spread", torch.ones(self.latents))
        self.process = VelocityPrediction(CHAIN, radius=3.5)

    def making(self) -> list[nn.Module]:
        """See :meth:`Competitor.making`."""
        return [self.decoder, self.denoiser]

    def fit(
        self, images: Tensor, labels: Tensor | None, steps: int, generator: torch.Generator
    ) -> None:
        """See :meth:`Competitor.fit`."""
        self.coding = True
        super().fit(images, labels, max(1, steps // 2), generator)
        with torch.no_grad():
            codes = self.encoder(images.flatten(1).float())
            self.mean, self.spread = codes.mean(dim=0), codes.std(dim=0).clamp(min=1e-3)
        self.coding = False
        super().fit(images, labels, max(1, steps - steps // 2), generator)

    def _weights(self) -> list[list[nn.Parameter]]:
        nets = [self.encoder, self.decoder] if self.coding else [self.denoiser]
        return [[each for net in nets for each in net.parameters()]]

    def train_step(self, x: Tensor, told: Tensor, generator: torch.Generator) -> None:
        """See :meth:`Competitor.train_step`."""
        if self.coding:
            z = self.encoder(x)
            noise = 0.1 * z.detach().std(dim=0) * self._noise(len(x), generator)
            loss = (self.decoder(z + noise).sigmoid() - x).square().mean()
        else:
            with torch.no_grad():
                z = (self.encoder(x) - self.mean) / self.spread
            pairs = self.process.training_pairs(z, generator)
            velocity = self._velocity(pairs.noisy, pairs.step / CHAIN, told)
            loss = self.process.losses(velocity, pairs).mean()
        self.optimizers[0].zero_grad()
        loss.backward()
        self.optimizers[0].step()

    def _velocity(self, z: Tensor, t: Tensor, one_hot: Tensor) -> Tensor:
        found: Tensor = self.denoiser(torch.cat([z, told(t, None, None), one_hot], dim=1))
        return found

    def made(self, told: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`Competitor.made`: the whole reverse chain."""
        z = self._noise(len(told), generator)
        for step in range(CHAIN, 0, -1):
            t = torch.full((len(z),), step / CHAIN)
            z = self.process.reverse_step(z, step, self._velocity(z, t, told), generator)
        found: Tensor = self.decoder(self.mean + self.spread * z).sigmoid()
        return found


COMPETITORS: dict[str, type[Competitor]] = {
    "latent_diffusion": LatentDiffusion,
    "gan": Gan,
    "vae": Vae,
}
"""The competitors by name, in the order of tables."""


def make_competitor(
    name: str,
    image_shape: tuple[int, int, int],
    parameters: int,
    classes: int | None,
    generator: torch.Generator,
) -> Competitor:
    """Return a competitor with fresh weights; arguments as for :class:`Competitor`."""
    return COMPETITORS[name](image_shape, parameters, classes, generator)
