"""Everything that a training run is, as one frozen value that is saved with the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from .. import options
from ..arguments import checked_text, of_kind
from ..circuits import CIRCUITS
from ..data import (
    DATASET_DOOR,
    DATASETS,
    DataRecord,
    RowFormat,
    find_dataset,
    record_from_dict,
    row_format,
)
from ..data.npz import read_npz_classes
from ..data.places import CSV, NPZ
from ..diffusion import DiffusionConfig, make_process
from ..errors import InvalidOption, InvalidTemplate, unknown_name
from ..models import (
    MODELS,
    PRESETS,
    Denoiser,
    ModelChoice,
    SpecDenoiser,
    circuit_options,
    has_model,
    missing_part,
    model_class,
    part_origins,
    resolve,
    take_class,
    unknown_model,
)
from ..models.base import refused_train_loader
from .circuit_weights import BlockKind
from .targets.choice import check_train_on, device_names, train_on_text

__all__ = [
    "BY_GRADIENTS",
    "SCHEMA",
    "DataConfig",
    "OptimizerName",
    "RunConfig",
    "TrainingConfig",
    "resolve_run",
    "run_from_dict",
]

SCHEMA = "qdm-run/1"
MOST_SHOTS = 10_000_000
"""Most shots of a row, as in sampling."""
MOST_FACTOR = 1e30
"""Most of a step size and its like: torch refuses what leaves single precision on the way."""
ReadoutInLoss = Literal["mean", "asymmetric", "mitigated"]
"""Readout errors in the loss: one a qubit, one for each outcome, or taken out again."""
OptimizerName = Literal["adam", "rmsprop", "sgd", "natural", "spsa", "qn-spsa"]
"""The optimizers; :func:`~qdm_qiskit.training.optimizers.make_optimizer` makes each."""
BY_GRADIENTS = ("adam", "rmsprop", "sgd")
"""Optimizers that take the gradient of every weight as it is."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Options of the data. Image size and channels are the model's."""

    dataset: str = "digits"
    """Name in `qdm data list`, of this package or another, npz:PATH or csv:PATH."""
    classes: tuple[int, ...] = ()
    """Class labels to keep; all if empty."""
    train_count: int | None = None
    """Training images, None for all there are."""
    test_count: int | None = None
    """Test images, None for all there are."""
    test_fraction: float = 0.2
    """Share kept for testing where a data set has no published split."""
    folder: str | None = None
    """Folder of the data files, where they are not embedded."""

    def __post_init__(self) -> None:
        options.settle(self)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Options of the loop.

    >>> TrainingConfig(epochs=5, optimizer="spsa").learning_rate
    0.01
    """

    epochs: int = 30
    """Passes over the training images, at least 1."""
    batch_size: int = 20
    """Images in a step; each gives one pair for every t."""
    optimizer: OptimizerName = "adam"
    """Adam, RMSProp or plain gradient descent; natural gradients for circuits and Adam for the rest; or
    losses alone, no gradients."""
    learning_rate: float = 0.01
    """Step size, of SPSA the first one; above 0."""
    circuit_learning_rate: float | None = None
    """Step size of `natural` for the weights of circuits; None for ``learning_rate``."""
    metric_regularisation: float = 0.01
    """Added to the diagonal of the metric by `natural` and `qn-spsa`, above 0."""
    metric_samples: int = 32
    """Pairs of a batch, evenly spread, on which `natural` and `qn-spsa` estimate it; at least 1."""
    metric_blocks: BlockKind = "layer"
    """Blocks of the metric of `natural`: each layer of a circuit, or each circuit."""
    perturbation: float = 0.1
    """First perturbation of `spsa` and `qn-spsa` in each weight, above 0."""
    weight_decay: float = 0.0
    """L2 penalty, at least 0; SPSA has none."""
    second_moment: float = 0.999
    """Adam's beta_2 and RMSProp's alpha, in [0, 1)."""
    decay_every: int = 0
    """Epochs after which the step size is multiplied by ``decay_factor``, again and again; 0 never."""
    decay_factor: float = 0.97
    """See ``decay_every``; in (0, 1]."""
    seed: int = 0
    """The seed of every random stream of the run."""
    sample_every: int = 10
    """Epochs between two sample grids; 0 for none."""
    checkpoint_every: int = 10
    """Epochs between two checkpoints, at least 1; there is always one at the end."""
    keep_checkpoints: int = 3
    """Checkpoints kept, at least 1; the oldest go first."""
    weight_average: bool = False
    """Keep a moving average of the weights, and sample from it."""
    start_from: str | None = None
    """Folder of a run of the same model whose weights this one starts from, as from an exact run."""
    transfer_epochs: int = 0
    """Epochs of the classical counterpart whose weights the hybrid starts from; 0 for none."""
    baseline: bool = True
    """Train the small classical U-Net (892 parameters on grey images) on the same pairs beside it."""
    train_on: str = "engine"
    """What circuits run on in training: engine, engine:cuda, aer, noisy:DEVICE, noisy:A+B, qnn. A
    ``BackendV2`` or an Aer ``NoiseModel`` stands for its ``noisy:``, and is kept as that text."""
    train_shots: int | None = None
    """Shots of each row of a circuit in training, at least 1; None for exact values."""
    train_readout: ReadoutInLoss = "mean"
    """Readout errors in the loss on noisy: ``mean``, ``asymmetric``, or ``mitigated``, without."""
    train_layout: tuple[int, ...] = ()
    """Physical qubit of each qubit on the device that circuits are trained for; empty chooses."""
    noise_injection: bool = False
    """Draw the Paulis of a device's twirled errors for each row, in place of its exact noise."""
    noise_epochs: int = 0
    """Epochs over which noise grows from none to the device's; 0 for all of it from the start."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "train_on", train_on_text(self.train_on))
        options.settle(self)
        self._check_target()
        least_one = (
            "epochs",
            "batch_size",
            "checkpoint_every",
            "keep_checkpoints",
            "metric_samples",
        )
        for name in least_one:
            if getattr(self, name) < 1:
                raise InvalidOption(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.optimizer not in get_args(OptimizerName):
            raise InvalidOption(
                f"optimizer is one of {', '.join(get_args(OptimizerName))}; got {self.optimizer!r}."
            )
        if self.metric_blocks not in get_args(BlockKind):
            raise InvalidOption(f"metric_blocks is layer or circuit, got {self.metric_blocks!r}.")
        if self.sample_every < 0 or self.seed < 0 or self.transfer_epochs < 0:
            raise InvalidOption(
                "sample_every and seed are >= 0, and so is transfer_epochs; "
                f"got {self.sample_every}, {self.seed}, {self.transfer_epochs}."
            )
        if self.decay_every < 0 or not 0 < self.decay_factor <= 1:
            raise InvalidOption(
                "decay_every is >= 0 and decay_factor in (0, 1], "
                f"got {self.decay_every}, {self.decay_factor}."
            )
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InvalidOption(
                f"weight_decay must be a finite number >= 0, got {self.weight_decay}."
            )
        if not 0 <= self.second_moment < 1:
            raise InvalidOption(f"second_moment lies in [0, 1), got {self.second_moment}.")
        above_zero = (
            "learning_rate",
            "circuit_learning_rate",
            "metric_regularisation",
            "perturbation",
        )
        for name in above_zero:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InvalidOption(f"{name} must be a finite number above 0, got {value}.")
        for name in (*above_zero, "weight_decay"):
            value = getattr(self, name)
            if value is not None and value > MOST_FACTOR:
                raise InvalidOption(f"{name} must be at most {MOST_FACTOR:g}, got {value}.")

    def _check_target(self) -> None:
        if self.start_from is not None and self.transfer_epochs:
            raise InvalidOption(
                "Weights start from a run or from a classical counterpart; leave start_from or "
                "transfer_epochs out."
            )
        check_train_on(self.train_on)
        if self.train_shots is not None and not 1 <= self.train_shots <= MOST_SHOTS:
            raise InvalidOption(
                f"train_shots must be at least 1 and at most {MOST_SHOTS}, got {self.train_shots}; "
                "leave it out for exact values."
            )
        if self.train_readout not in get_args(ReadoutInLoss):
            raise InvalidOption(
                f"train_readout is one of {', '.join(get_args(ReadoutInLoss))}; got "
                f"{self.train_readout!r}."
            )
        if self.noise_epochs < 0:
            raise InvalidOption(f"noise_epochs must be at least 0, got {self.noise_epochs}.")
        changed = {
            "train_readout": self.train_readout != "mean",
            "train_layout": bool(self.train_layout),
            "noise_injection": self.noise_injection,
            "noise_epochs": self.noise_epochs != 0,
        }
        given = [name for name, wanted in changed.items() if wanted]
        if given and not device_names(self.train_on):
            raise InvalidOption(
                f"'{self.train_on}' has no noise of a device for {given[0]}; leave it out, or train "
                "on a target such as 'noisy:fake_torino'."
            )
        exact = self.train_on.startswith("engine") and self.train_shots is None
        if self.optimizer in ("natural", "qn-spsa") and not exact:
            raise InvalidOption(
                f"The metric of '{self.optimizer}' is that of exact states; take optimizer adam or "
                "spsa, or leave train_on at 'engine' and train_shots out."
            )


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A training run; :func:`resolve_run` makes one.

    Raises:
        InvalidOption: If model and process are of different state spaces.

    >>> config = resolve_run("digits-demo", {"epochs": 2})
    >>> config.model, config.training.epochs, config.with_epochs(9).training.epochs
    ('qddm', 2, 9)
    """

    model: str
    """Name of the model."""
    model_options: Any
    """The model's own options."""
    data: DataConfig = field(default_factory=DataConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    preset: str | None = None
    """The preset that it started from, if any."""
    record: DataRecord | None = field(default=None, compare=False)
    """Record of the data at its beginning; None before, and for runs of version 0.1."""
    circuit: str | None = field(default=None, compare=False)
    """Name of the circuit that the model is made of, if it was named."""

    def __post_init__(self) -> None:
        if not has_model(checked_text(self.model, "model")):
            raise unknown_name("model", self.model, MODELS)
        kind_of_model = model_class(self.model)
        parts = {**_SECTIONS, "model_options": kind_of_model.config_class}
        for name, kind in parts.items():
            of_kind(
                getattr(self, name), kind, name, "resolve_run(name, settings) makes all of them"
            )
        wanted = kind_of_model.state_space
        space = make_process(self.diffusion).state_space
        if wanted != space:
            raise InvalidOption(
                f"Model '{self.model}' works on {wanted} states, but process "
                f"'{self.diffusion.process}' makes {space} ones; choose another process."
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with the schema's name."""
        record = None if self.record is None else self.record.to_dict()
        content = {"schema": SCHEMA, **asdict(replace(self, record=None)), "record": record}
        if self.circuit is None:
            del content["circuit"]
        origins = part_origins(self.model, self.model_options, self._known_circuit())
        return {**content, "origins": origins} if origins else content

    def _known_circuit(self) -> str | None:
        """The circuit's name, where the package that brought it is still here; nothing needs it."""
        return self.circuit if self.circuit in CIRCUITS else None

    def with_epochs(self, epochs: int) -> RunConfig:
        """A copy that trains for longer; the one thing that may change on resume."""
        return replace(self, training=replace(self.training, epochs=epochs))


_SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "diffusion": DiffusionConfig,
    "training": TrainingConfig,
}


def resolve_run(
    name: str | Denoiser | type[Denoiser], settings: Mapping[str, Any] | None = None
) -> RunConfig:
    """A run from a model or preset name, or a model, and flat settings.

    Args:
        name: A model, a preset, or a circuit; or a model's class; or a model itself, such as one of
            ``Denoiser.from_spec``, whose options, not its weights, are taken: those of a run are drawn
            from its seed.
        settings: Option name to value or text; each option belongs to exactly one of the model,
            the data, the diffusion process and the training loop. A preset's own settings give way.

    Returns:
        The run's configuration, all "auto" resolved: a guided model learns its number of classes
        from the classes chosen, or from the labels in a file of the user's own, unless it is set;
        of rows of numbers, image_size is the least that holds one, unless it is set;
        a model with weights for each step decides the number of steps, and these the betas that
        are not set.

    Raises:
        UnknownName: If there is no such model, preset or circuit.
        InvalidArgument: If a class is no model.
        InvalidExtension: If another package brings it, and it cannot be used.
        InvalidOption: If an option is unknown or out of range.
        MissingData, InvalidData: If labels are to be read and the file is missing or damaged.

    >>> run = resolve_run("eeqdm", {"depth": 3, "epochs": 5, "dataset": "mnist"})
    >>> run.model_options.depth, run.training.epochs, run.data.dataset
    (3, 5, 'mnist')
    """
    settings = {} if settings is None else settings
    of_kind(settings, Mapping, "settings", "as in {'depth': 3, 'epochs': 5}")
    if isinstance(name, Denoiser):
        own = {each.name: getattr(name.config, each.name) for each in fields(name.config)}
        return _resolved(take_class(type(name)).name, settings, own)
    if isinstance(name, type):
        return _resolved(take_class(name).name, settings)
    checked_text(name, "name", "or a model, such as Denoiser.from_spec(...) gives, or its class")
    return _resolved(name, settings)


def _resolved(
    name: str, settings: Mapping[str, Any], own: Mapping[str, Any] | None = None
) -> RunConfig:
    """See :func:`resolve_run`; of a model that is given, ``own`` is all options."""
    if name in PRESETS:
        preset, model = PRESETS[name], PRESETS[name].model
        recommended = {**model_class(model).recommended, **preset.training}
    elif own is None and (name == SpecDenoiser.name or not has_model(name)):
        if name not in CIRCUITS:
            raise unknown_model(name)
        model, recommended = SpecDenoiser.name, {}
    else:
        model, recommended = name, dict(model_class(name).recommended)
    kind = model_class(model)
    model_fields = options.field_types(kind.config_class)
    known = model_fields if model == name or name in PRESETS else circuit_options(name)
    if "train_loader" in settings and "train_loader" not in known:
        raise refused_train_loader(kind)
    parts: dict[str, dict[str, Any]] = {
        "model": dict(own or {}),
        **{section: {} for section in _SECTIONS},
    }
    for key, value in {**recommended, **settings}.items():
        if key == "train_on":
            value = train_on_text(value)
        parts[_section_of(key, name, known)][key] = value
    if parts["diffusion"].get("process") == "device" and "flips" not in parts["diffusion"]:
        parts["diffusion"]["flips"] = _device_flips(parts["diffusion"])
    sections: dict[str, Any] = {
        section: options.build(each, parts[section]) for section, each in _SECTIONS.items()
    }

    def choose(values: Mapping[str, Any]) -> ModelChoice:
        if own is None:
            return resolve(name, values)
        config: Any = options.build(kind.config_class, values)
        return ModelChoice(model=name, preset=None, config=config, source=kind.source)

    if "image_size" in model_fields and own is None and not _says_size(name, parts["model"]):
        rows = _rows_of(sections["data"].dataset)
        if rows is not None:
            parts["model"]["image_size"] = _size_for(rows, parts["model"], choose)
    choice = choose(parts["model"])
    if "num_classes" in model_fields and "num_classes" not in parts["model"]:
        count = _num_classes(sections["data"], guided=getattr(choice.config, "guided", False))
        if count is not None:
            choice = choose({**parts["model"], "num_classes": count})
    if "num_steps" in model_fields:  # weights for each step: the model decides how many there are
        sections["diffusion"] = replace(sections["diffusion"], num_steps=choice.config.num_steps)
    sections["diffusion"] = sections["diffusion"].resolved()
    return RunConfig(
        model=choice.model,
        model_options=choice.config,
        preset=choice.preset,
        circuit=choice.circuit,
        **sections,
    )


def _device_flips(diffusion: Mapping[str, Any]) -> tuple[float, ...]:
    """Look up how often the bits of a device flip in a step, which the run then keeps."""
    device = diffusion.get("device")
    if not device:
        raise InvalidOption(
            "Process 'device' needs the option device, such as fake_torino, or flips of your own."
        )
    from ..noise_sources.device_flips import device_flips  # Aer's noise models, only when asked

    num_steps = diffusion.get("num_steps", DiffusionConfig.num_steps)
    return device_flips(device, num_steps=options.convert("num_steps", num_steps, int))


def _says_size(name: str, model: Mapping[str, Any]) -> bool:
    return "image_size" in model or (name in PRESETS and "image_size" in PRESETS[name].options)


def _rows_of(dataset: str) -> RowFormat | None:
    """Format of a data set of rows; None of images, and of a name that is not known here."""
    known = dataset in DATASETS or dataset in DATASET_DOOR or dataset.startswith(CSV)
    return row_format(dataset) if known else None


def _size_for(
    rows: RowFormat, model: Mapping[str, Any], choose: Callable[[Mapping[str, Any]], ModelChoice]
) -> int:
    """Return the least size that holds a row, or the next power of two where the model wants one."""
    try:
        choose({**model, "image_size": rows.size})
    except (InvalidOption, InvalidTemplate):
        return 1 << (rows.size - 1).bit_length()
    return rows.size


def _num_classes(data: DataConfig, *, guided: bool) -> int | None:
    """Classes of the data, as far as options and a user's own file say; None where neither does."""
    if data.classes:
        return len(set(data.classes))
    if guided and data.dataset.startswith(NPZ):
        return len(read_npz_classes(data.dataset.removeprefix(NPZ)))
    if guided and data.dataset.startswith(CSV):
        return len(find_dataset(data.dataset).classes)
    if guided and data.dataset in DATASETS and DATASETS[data.dataset].columns:
        return len(DATASETS[data.dataset].classes)
    if guided and data.dataset not in DATASETS and data.dataset in DATASET_DOOR:
        return len(DATASET_DOOR.get(data.dataset).classes) or None
    return None


def run_from_dict(content: Mapping[str, Any]) -> RunConfig:
    """The configuration that :meth:`RunConfig.to_dict` gave.

    Raises:
        InvalidOption: If the content is of another schema or cannot be used.
    """
    model = content.get("model")
    missing = missing_part(content)
    if content.get("schema") == SCHEMA and missing is not None:
        raise InvalidOption(f"This run cannot be read here: {missing}")
    if content.get("schema") != SCHEMA or not isinstance(model, str) or not has_model(model):
        raise InvalidOption(
            f"A run's config.json has schema '{SCHEMA}' and a model that is known here, got "
            f"{content.get('schema')!r} and {model!r}."
        )
    names = {f.name for f in fields(RunConfig)} | {"schema", "origins"}
    values: dict[str, Any] = {}
    for key, section in content.items():
        if key not in names:
            raise InvalidOption(f"A run's config.json has no field '{key}'.")
        kind = _SECTIONS.get(key) or (
            model_class(model).config_class if key == "model_options" else None
        )
        if kind is not None:
            if not isinstance(section, Mapping):
                raise InvalidOption(f"'{key}' must be an object, got {type(section).__name__}.")
            values[key] = options.build(kind, section)
    if "model_options" not in values:
        raise InvalidOption("A run's config.json has the field 'model_options', got none.")
    record = content.get("record")
    values["record"] = None if record is None else record_from_dict(record)
    preset = content.get("preset")
    if preset is not None and not isinstance(preset, str):
        raise InvalidOption(f"'preset' is a name or null, got {preset!r}.")
    circuit = content.get("circuit")
    if circuit is not None and not isinstance(circuit, str):
        raise InvalidOption(f"'circuit' is a name or missing, got {circuit!r}.")
    return RunConfig(model=model, preset=preset, circuit=circuit, **values)


def _section_of(key: str, name: str, model_options: Iterable[str]) -> str:
    """The section of an option: "model", or one of the run's."""
    found = [section for section, kind in _SECTIONS.items() if key in options.field_types(kind)]
    if key in model_options:
        if found and key != "num_steps":  # which a model with weights for each step decides
            raise InvalidOption(
                f"'{key}' is an option of '{name}' and of the run's {found[0]}; its package has to "
                "call it otherwise."
            )
        return "model"
    if found:
        return found[0]
    known = [*model_options, *(n for kind in _SECTIONS.values() for n in options.field_types(kind))]
    raise InvalidOption(str(unknown_name(f"option of '{name}' called", key, known)))
