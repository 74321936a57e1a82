"""Options of a hardware run, from which its plan is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ...canonical_json import check_fields
from ...errors import InvalidOption
from ...execution.estimator_options import text_of_options
from ...execution.targets import parse_target, target_text
from ...transpiling.tiles import TileChoice
from .refit_choice import RefitChoice
from .routing import GIVEN, policy_of
from .types import CalibrationMethod, ExecutionOptions, Mitigation, Mode, Primitive, Schedule

__all__ = [
    "DAY_SECONDS",
    "JOB_LIMITS",
    "PlanConfig",
]

DAY_SECONDS = 24 * 3600
JOB_LIMITS = ("max_job_executions", "max_job_circuits", "max_job_values")
"""Fields of the largest size of a job."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Options of a run; :func:`make_plan` makes a plan of them.

    >>> PlanConfig(targets=("ibm:least_busy", "local:fake_torino"), num_images=4).shots
    4096
    """

    targets: tuple[str, ...] = ("local:fake_torino",)
    """Targets, in the order of preference. A ``BackendV2`` or an Aer ``NoiseModel`` stands for
    ``local:`` of it, and is kept as that text."""
    num_images: int = 16
    """Images, at least 1."""
    shots: int = 4096
    """Shots for each image and step, on average over the steps."""
    seconds: float | None = None
    """QPU seconds of the whole run, calibration included; if given, they decide the shots."""
    precision: float | None = None
    """Root mean square pixel error wanted of the final images, by rule ``precision``."""
    schedule: Schedule = "uniform"
    """Rule of the shot allocation; see :mod:`~.plan.shot_allocation`."""
    mitigation: Mitigation = "none"
    calibration_shots: int = 8192
    """Shots of each calibration circuit."""
    calibration_method: CalibrationMethod = "balanced"
    calibration_ttl_seconds: int = DAY_SECONDS
    """Age at which a calibration is stale and is taken again."""
    mode: Mode = "auto"
    """Job, Batch or Session; ``auto`` takes what the account's plan allows."""
    options: ExecutionOptions = field(default_factory=ExecutionOptions)
    budget: str | None = None
    """Name of the budget that pays."""
    seed: int = 0
    label: int | None = None
    """Class of all images of a guided model; None cycles over the classes."""
    layout_trials: int = 5
    """Transpiler seeds tried; the highest expected success wins."""
    optimization_level: int = 3
    fractional_gates: bool = False
    """Use a device's rzz for free angles too; see :attr:`.SamplingConfig.fractional_gates`."""
    loader: str | None = None
    """Name of the loader of images into the circuit; None for the model's own."""
    start: Literal["process", "loader"] = "process"
    """x_T; see :attr:`.SamplingConfig.start`."""
    scheduler: str = "process"
    """Name of the sampler; see :attr:`.SamplingConfig.scheduler`."""
    num_inference_steps: int | None = None
    """Steps of the sampler, each with its jobs; None leaves it to the sampler."""
    eta: float = 0.0
    """Share of DDPM's noise that ddim adds, 0 to 1."""
    tiles: str | None = None
    """Disjoint places of the chip that run the circuit at once, images spread over them: a number,
    ``auto``, or the least expected success of each, ``>=0.7``; None for one place."""
    tile_buffer: bool = False
    """True to leave a qubit between tiles."""
    refit: str | None = None
    """Circuits that fit the model's linear tail, or a correction of its measured values, to the device:
    ``auto`` (300), a number, or circuits and shots, ``300x256``; None for none."""
    chain: Literal["auto", "coherent", "steps"] = "auto"
    """Chain of models that hand states from step to step: see :attr:`.SamplingConfig.chain`."""
    kept_shots: int | None = None
    """Shots of each image that a chain in one circuit keeps, in the place of ``shots``: as many more
    are asked for as its projections lose of the image that keeps least."""

    max_job_executions: int | None = None
    """Most circuits times shots of a job; None for what IBM documents, or has refused before."""
    max_job_circuits: int | None = None
    """Most circuits of a job, each with its values; None for no limit, or what was refused before."""
    max_job_values: int | None = None
    """Most values of parameters that a job sends; None for 4 million, or what was refused before."""
    train: int | None = None
    """Steps of an optimizer that trains the model on the target, in place of a chain; None samples.
    ``num_images`` are then the noisy images of a step, and ``shots`` those of each row."""
    train_optimizer: Literal["auto", "adam", "spsa", "ridge"] = "auto"
    """``adam`` by parameter shift, ``spsa`` by two losses a step, ``ridge`` for a linear tail in closed
    form; ``auto`` takes ridge where it fits, and else adam."""
    train_rate: float = 0.05
    """Step size of the optimizer."""
    train_perturbation: float = 0.1
    """Perturbation of SPSA, in radians where a weight is an angle."""
    train_weights: str = "all"
    """``all``; ``tail``, those that no circuit depends on, which one job serves for all steps; or names
    of weights, or of parts of the model, with commas between them."""
    primitive: Primitive = "sampler"
    """``estimator`` sends jobs of IBM's Estimator, for calls that read expectation values."""
    primitive_options: str = "{}"
    """Options of the Estimator as JSON text, nested as it has them."""
    routing: str | None = None
    """Policy that is asked before each step who answers it, the device or this machine, as in
    ``limits:seconds=30``; ``given`` for an object that is given on sending; None sends all steps."""
    groups: int = 1
    """Groups of images with jobs of their own, which go on as their calls come back; 1 waits for all
    images at each step."""

    def __post_init__(self) -> None:
        targets: object = self.targets
        if isinstance(targets, list):
            object.__setattr__(self, "targets", tuple(targets))
        if isinstance(self.targets, tuple):
            texts = tuple(target_text(each, "local") for each in self.targets)
            object.__setattr__(self, "targets", texts)
        tiles: object = self.tiles
        if isinstance(tiles, int) and not isinstance(tiles, bool):
            object.__setattr__(self, "tiles", str(tiles))
        refit: object = self.refit
        if isinstance(refit, int) and not isinstance(refit, bool):
            object.__setattr__(self, "refit", str(refit))
        check_fields(self)
        self._check_refit()
        if self.tile_buffer and self.tiles is None:
            raise InvalidOption("tile_buffer belongs to tiles; set tiles, for example 'auto'.")
        _ = self.tile_choice  # refuses a text that is none
        if not self.targets:
            raise InvalidOption("A plan needs at least one target, got none.")
        for each in self.targets:
            parse_target(each)
        for name, most in (
            ("num_images", 1_000_000),
            ("shots", 10_000_000),
            ("calibration_shots", 10_000_000),
            ("calibration_ttl_seconds", 10**9),
            ("layout_trials", 10_000),
        ):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InvalidOption(f"{name} must be at least 1 and at most {most}, got {value}.")
        for name in JOB_LIMITS:
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 10**9:
                raise InvalidOption(
                    f"{name} must be at least 1 and at most 1000000000, got {value}."
                )
        self._check_train()
        if self.seed < 0 or self.optimization_level not in (0, 1, 2, 3):
            raise InvalidOption(
                "seed is >= 0 and optimization_level is 0 to 3, "
                f"got {self.seed}, {self.optimization_level}."
            )
        if self.kept_shots is not None:
            if not 1 <= self.kept_shots <= 10_000_000:
                raise InvalidOption(
                    f"kept_shots must be at least 1 and at most 10000000, got {self.kept_shots}."
                )
            if self.seconds is not None or self.precision is not None:
                raise InvalidOption(
                    "Give one of kept_shots, seconds and precision: each decides the shots."
                )
        for name in ("seconds", "precision"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and 0 < value <= 1e6):
                raise InvalidOption(f"{name} is a number above 0, got {value}.")
        if (self.schedule == "precision") != (self.precision is not None):
            raise InvalidOption(
                "Shot allocation (schedule) 'precision' needs precision, the error; no other one "
                f"does; got schedule '{self.schedule}' and precision {self.precision}."
            )
        self._check_primitive()
        self._check_routing()
        if self.precision is not None and self.seconds is not None:
            raise InvalidOption("Give a precision or seconds, not both: each decides the shots.")

    @property
    def tile_choice(self) -> TileChoice | None:
        """The choice of tiles; None without."""
        return None if self.tiles is None else TileChoice.of(self.tiles, buffer=self.tile_buffer)

    @property
    def refit_choice(self) -> RefitChoice | None:
        """The size of the refit; None without."""
        return None if self.refit is None else RefitChoice.of(self.refit)

    def _check_refit(self) -> None:
        if self.refit_choice is None:  # which refuses a text that is none
            return
        if self.primitive != "sampler":
            raise InvalidOption(
                "A refit is of counts, and an Estimator mitigates by itself; leave out refit, or the "
                "estimator."
            )
        if self.seconds is not None:
            raise InvalidOption(
                "A refit takes as many shots as a step, which seconds would decide; give shots in "
                "place of seconds, or leave out refit."
            )

    def _check_routing(self) -> None:
        if not 1 <= self.groups <= min(1000, self.num_images):
            raise InvalidOption(
                f"groups of images are 1 to 1000, and no more than images, {self.num_images}; got "
                f"{self.groups}."
            )
        if self.routing is None:
            return
        if self.routing != GIVEN:
            policy_of(self.routing)  # refuses a text that is none
        if self.train is not None or self.seconds is not None:
            other = "train" if self.train is not None else "seconds"
            raise InvalidOption(
                f"routing decides step by step which jobs are sent, and {other} decides it for all of "
                f"them; leave one of routing and {other} out."
            )
        if self.chain == "coherent":
            raise InvalidOption(
                "A chain in one circuit has no steps to route; leave out routing, or take "
                "chain='steps'."
            )

    def _check_train(self) -> None:
        if self.train is not None and not 1 <= self.train <= 1_000_000:
            raise InvalidOption(
                f"train, steps of the optimizer, is at least 1 and at most 1000000, got {self.train}."
            )
        for name in ("train_rate", "train_perturbation"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 < value <= 1e3):
                raise InvalidOption(f"{name} is above 0 and at most 1000, got {value}.")
        given = (
            self.train_optimizer, self.train_rate, self.train_perturbation, self.train_weights
        )  # fmt: skip
        if self.train is None and given != ("auto", 0.05, 0.1, "all"):
            raise InvalidOption(
                "train_optimizer, train_rate, train_perturbation and train_weights belong to train, "
                "the steps of the optimizer; set train, for example 20."
            )

    def _check_primitive(self) -> None:
        options = text_of_options(self.primitive_options)
        object.__setattr__(self, "primitive_options", options)
        if self.primitive == "sampler":
            if options != "{}":
                raise InvalidOption(
                    "primitive_options are of an Estimator; set primitive='estimator', or leave them "
                    "out."
                )
            return
        if self.tiles is not None:
            raise InvalidOption(
                "An Estimator measures one place of the chip; leave out tiles, or the estimator."
            )
        if self.mitigation != "none":
            raise InvalidOption(
                "An Estimator mitigates by its own options, primitive_options; leave mitigation at "
                f"'none', got {self.mitigation!r}."
            )
        if self.seconds is not None:
            raise InvalidOption(
                "An Estimator's executions follow from its options and shots; give shots in place of "
                "seconds."
            )
        plain, given = ExecutionOptions(), self.options
        if (given.dynamical_decoupling, given.twirl_gates, given.twirl_measure) != (
            plain.dynamical_decoupling,
            plain.twirl_gates,
            plain.twirl_measure,
        ):
            raise InvalidOption(
                "An Estimator takes decoupling and twirling by primitive_options, as in "
                '{"twirling": {"enable_gates": true}}; leave the others out.'
            )
