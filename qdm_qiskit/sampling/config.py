"""Options of a sampling run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from ..errors import InvalidOption
from ..execution.device_noise import NoisePart, check_part
from ..execution.estimator_options import text_of_options
from ..execution.noisy import Simulator, check_simulator
from ..execution.region import ReadoutErrors, check_readout
from ..execution.targets import Target, parse_target, target_text
from ..options import settle
from ..transpiling.tiles import TileChoice

__all__ = [
    "MOST",
    "SamplingConfig",
]

MOST = {
    "num_images": 1_000_000,
    "shots": 10_000_000,
    "calibration_shots": 10_000_000,
    "layout_trials": 10_000,
}
"""Upper limits of the counts: far above any use, far below the limits of memory and int64."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Options of sampling images from a trained model.

    >>> SamplingConfig(target="noisy:fake_torino", shots=1024, mitigation="m3").num_images
    16
    """

    target: str = "engine"
    """Target of the circuit; see :mod:`qdm_qiskit.execution.targets`. A ``BackendV2`` or an Aer
    ``NoiseModel`` stands for its ``noisy:`` target, and is kept as that text."""
    num_images: int = 16
    """Number of images, at least 1."""
    shots: int | None = None
    """Shots for each image and step, at least 1; None is exact, on the engine only."""
    mitigation: Literal["none", "m3"] = "none"
    """Readout mitigation."""
    readout: ReadoutErrors = "mean"
    """Readout error on ``noisy:`` and ``local:`` targets: the mean of a qubit's two errors, as in
    Aer's model, or both of them, ``asymmetric``."""
    simulator: Simulator = "auto"
    """Simulator of ``noisy:`` targets: the engine wherever it runs the circuit and Aer elsewhere,
    or ``engine`` or ``aer`` alone. Both have the same distribution; the manifest says which one
    ran."""
    noise: NoisePart = "all"
    """Part of a ``noisy:`` target's noise that acts: ``all``, that of the ``gates``, of the
    ``readout``, or ``none``."""
    calibration_shots: int = 8192
    """Shots of each calibration circuit."""
    seed: int = 0
    """Seed of every random stream of this call."""
    layout_trials: int = 5
    """Transpiler seeds tried on a device; the highest expected success wins."""
    initial_layout: tuple[int, ...] = ()
    """Physical qubit of each logical qubit on a device; empty leaves the choice to the transpiler."""
    optimization_level: int = 3
    """Qiskit's transpiler level, 0 to 3."""
    fractional_gates: bool = False
    """Use a device's rzz for free angles too, folded into the range for which it is calibrated."""
    label: int | None = None
    """Class of all images of a guided model; None cycles over the classes."""
    scheduler: str = "process"
    """Name of the sampler: the process's own chain; ddpm, ddim, analytic, dpm-solver++, sde or ode for
    models that predict noise; or another package's."""
    num_inference_steps: int | None = None
    """Steps of the sampler; None takes all that the model was trained with."""
    eta: float = 0.0
    """Share of DDPM's noise that ddim and analytic add, 0 to 1."""
    chain: Literal["auto", "coherent", "steps"] = "auto"
    """Chain of models that hand states from step to step: ``coherent``, all steps in one circuit;
    ``steps``, with tomography between; ``auto``, the first where possible, unless it would keep less
    than one shot of an image."""
    loader: str | None = None
    """Name of the loader that loads images in the circuit; None for the model's own."""
    start: Literal["process", "loader"] = "process"
    """x_T: noise of the ``process``, or noise that the ``loader``'s own circuit makes; see
    :mod:`.starts`."""
    noise_source: str | None = None
    """Source of the bits of x_T and of the noise of steps, by name; see
    :mod:`qdm_qiskit.noise_sources`. None for the seed's pseudo-random generator."""
    tiles: int | str | None = None
    """Disjoint places of the device that the circuit runs on at once, images spread over them: a
    number, ``auto``, or the least expected success of each, ``>=0.7``; None for one place."""
    tile_buffer: bool = False
    """True to leave a qubit between tiles."""
    primitive: Literal["sampler", "estimator"] = "sampler"
    """Primitive of expectation values: shots in several bases, or the target's own Estimator; see
    :mod:`qdm_qiskit.execution.estimators`. Probabilities come from shots always."""
    primitive_options: str = "{}"
    """Options of the Estimator as JSON, nested as it has them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", target_text(self.target, "noisy"))
        settle(self)
        target = parse_target(self.target)
        for name, most in MOST.items():
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise InvalidOption(f"{name} must be at least 1 and at most {most}, got {value}.")
        if self.seed < 0 or self.optimization_level not in (0, 1, 2, 3):
            raise InvalidOption(
                "seed is >= 0 and optimization_level is 0 to 3, "
                f"got {self.seed}, {self.optimization_level}."
            )
        if self.mitigation not in ("none", "m3"):
            raise InvalidOption(f"mitigation is 'none' or 'm3', got {self.mitigation!r}.")
        self._check_tiles(target)
        self._check_primitive(target)
        if self.chain not in ("auto", "coherent", "steps"):
            raise InvalidOption(f"chain is 'auto', 'coherent' or 'steps', got {self.chain!r}.")
        check_readout(self.readout)
        if self.readout != "mean" and target.kind not in ("noisy", "local"):
            raise InvalidOption(
                f"Target '{self.target}' has no readout errors of a snapshot; leave readout at 'mean'."
            )
        check_simulator(self.simulator)
        if self.simulator != "auto" and target.kind != "noisy":
            raise InvalidOption(
                f"Target '{self.target}' has one simulator; leave simulator at 'auto', or take a "
                "target such as 'noisy:fake_torino'."
            )
        check_part(self.noise)
        if self.noise != "all" and target.kind != "noisy":
            raise InvalidOption(
                f"Target '{self.target}' has no noise of a device to take apart; leave noise at "
                "'all', or take a target such as 'noisy:fake_torino'."
            )
        if self.mitigation == "m3" and target.kind not in ("noisy", "local", "ibm"):
            raise InvalidOption(
                f"Target '{self.target}' has no readout errors to mitigate; use mitigation 'none', or "
                "a target such as 'noisy:fake_torino'."
            )
        if self.initial_layout and target.kind not in ("noisy", "local"):
            raise InvalidOption(
                f"Target '{self.target}' has no physical qubits; leave initial_layout out, or take a "
                "target such as 'noisy:fake_torino'."
            )
        if self.initial_layout and self.tiles is not None:
            raise InvalidOption("Tiles are places of their own; leave initial_layout or tiles out.")
        if self.fractional_gates and (self.initial_layout or self.tiles is not None):
            raise InvalidOption(
                "fractional_gates are tried on layouts that the transpiler chooses; leave "
                "initial_layout and tiles out."
            )
        if self.fractional_gates and target.kind not in ("noisy", "local"):
            raise InvalidOption(
                f"Target '{self.target}' is no device with gates of its own; leave fractional_gates "
                "out, or take a target such as 'noisy:mydevice'."
            )
        if self.start not in ("process", "loader"):
            raise InvalidOption(f"start is 'process' or 'loader', got {self.start!r}.")
        if self.loader is not None and target.kind == "engine" and self.start != "loader":
            raise InvalidOption(
                f"Target '{self.target}' starts from the images' states and runs no loader; leave "
                "loader out, or take another target, such as 'aer'."
            )
        if target.kind != "engine" and self.shots is None:
            raise InvalidOption(
                f"Target '{self.target}' runs circuits with finite shots; set shots, for example 4096."
            )

    @property
    def tile_choice(self) -> TileChoice | None:
        """The choice of tiles; None without."""
        if self.tiles is None:
            return None
        return TileChoice.of(str(self.tiles), buffer=self.tile_buffer)

    def _check_tiles(self, target: Target) -> None:
        if self.tiles is None:
            if self.tile_buffer:
                raise InvalidOption("tile_buffer belongs to tiles; set tiles, for example 'auto'.")
            return
        TileChoice.of(str(self.tiles), buffer=self.tile_buffer)
        if target.kind not in ("noisy", "local"):
            raise InvalidOption(
                f"Target '{self.target}' has no qubits to lay tiles on; leave tiles out, or take a "
                "target such as 'noisy:fake_torino'."
            )

    def _check_primitive(self, target: Target) -> None:
        options = text_of_options(self.primitive_options)
        object.__setattr__(self, "primitive_options", options)
        if self.primitive not in ("sampler", "estimator"):
            raise InvalidOption(f"primitive is 'sampler' or 'estimator', got {self.primitive!r}.")
        if self.primitive == "sampler":
            if options != "{}":
                raise InvalidOption(
                    "primitive_options are of an Estimator; set primitive='estimator', or leave them "
                    "out."
                )
            return
        if target.kind not in ("aer", "noisy", "local"):
            raise InvalidOption(
                f"Target '{self.target}' has no Estimator here; leave primitive at 'sampler', or take "
                "a target such as 'local:fake_torino'."
            )
        if self.mitigation != "none":
            raise InvalidOption(
                "An Estimator mitigates by its own options, primitive_options; leave mitigation at "
                f"'none', got {self.mitigation!r}."
            )
        plain = {f.name: f.default for f in fields(self)}
        others = ("readout", "simulator", "noise", "initial_layout", "fractional_gates", "tiles")
        given = [name for name in others if getattr(self, name) != plain[name]]
        if given:
            raise InvalidOption(
                f"An Estimator has no {', '.join(given)}; leave them out, or primitive at 'sampler'."
            )
