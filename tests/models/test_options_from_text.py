"""Every option of every model, preset, template and section of a run, set from text."""

from __future__ import annotations

import dataclasses
import types
import typing

import pytest

from qdm_qiskit.circuits import TEMPLATES
from qdm_qiskit.cli.circuit_options import configured
from qdm_qiskit.diffusion import DiffusionConfig
from qdm_qiskit.errors import InvalidOption, QdmError
from qdm_qiskit.hardware.plan.config import PlanConfig
from qdm_qiskit.models import MODELS, PRESETS, resolve
from qdm_qiskit.options import build, convert, field_types
from qdm_qiskit.sampling import SamplingConfig
from qdm_qiskit.training import DataConfig, TrainingConfig, resolve_run, run_from_dict

SECTIONS = {
    **{name: model.config_class for name, model in MODELS.items()},
    "data": DataConfig,
    "diffusion": DiffusionConfig,
    "training": TrainingConfig,
    "sampling": SamplingConfig,
    "hardware": PlanConfig,
}


def fields_of(options):
    """Options that take plain values: those of a part of their own are set in that part."""
    return {
        name: kind
        for name, kind in field_types(options).items()
        if not any(map(dataclasses.is_dataclass, (kind, *typing.get_args(kind))))
    }


def default_of(options, name):
    field = next(each for each in dataclasses.fields(options) if each.name == name)
    if field.default is not dataclasses.MISSING:
        return field.default
    assert field.default_factory is not dataclasses.MISSING, f"{name} has no default"
    return field.default_factory()


def others(kind, default):
    """Values of an option's type besides its default, legal or not."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        rest = next(each for each in arguments if each is not type(None))
        return [None, *others(rest, default)]
    if origin is typing.Literal:
        return list(arguments)
    if origin is tuple:
        if arguments[0] is float:
            return [(), (0.25, 0.5), (1.5, 0.0)]
        return [(), default * 2, (1,), (2, 3)] if arguments[0] is int else [default, ("aer",)]
    if kind is bool:
        return [True, False]
    start = 1 if default is None else default
    return {
        int: lambda: [0, -1, start + 1, 2 * start, 4 * start],
        float: lambda: [0.0, 0.5 * start, 2.5e-7, 3.0],
        str: lambda: ["engine", "npz:a=b.npz", "aer"],
    }[kind]()


def as_text(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def built(make):
    """The options, or the kind of refusal: text must be refused where the value is."""
    try:
        return make()
    except QdmError as error:
        return type(error)


@pytest.mark.parametrize("section", SECTIONS)
def test_text_gives_what_the_value_gives(section):
    options = SECTIONS[section]
    for name, kind in fields_of(options).items():
        default = default_of(options, name)
        assert convert(name, as_text(default), kind) == default
        taken = 0
        for value in [default, *others(kind, default)]:
            expected = built(lambda name=name, value=value: options(**{name: value}))
            text = {name: as_text(value)}
            found = built(lambda text=text: build(options, text))
            assert found == expected, text
            if not isinstance(found, type):
                taken += 1
                assert type(getattr(found, name)) is type(value)
                assert repr(getattr(found, name)) == repr(value)  # True is not 1 here
        assert taken, name


@pytest.mark.parametrize("section", SECTIONS)
def test_text_that_fits_no_type_is_one_line(section):
    for name, kind in fields_of(SECTIONS[section]).items():
        plain = [each for each in typing.get_args(kind) or (kind,) if each is not type(None)]
        if plain[0] is str:
            continue  # any text is text; what it may say is for the option itself to check
        for text in ("zebra", "1;2", "[28]", "{}"):
            with pytest.raises(InvalidOption, match=rf"^{name} is ") as caught:
                build(SECTIONS[section], {name: text})
            assert "\n" not in str(caught.value)


def test_presets_take_their_own_options_as_text():
    for preset in PRESETS:
        chosen = resolve(preset).config
        names = [each.name for each in dataclasses.fields(chosen)]
        text = {name: as_text(getattr(chosen, name)) for name in names}
        assert resolve(preset, text).config == chosen
        # What a run folder says of it is read back as the same, a Literal of numbers included.
        run = resolve_run(preset)
        assert run_from_dict(run.to_dict()) == run


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_takes_its_own_options_as_text(name):
    template = TEMPLATES[name]
    settings = [f"{key}={as_text(value)}" for key, value in template.options.items()]
    changed, _ = configured(name, settings)
    assert dict(changed.options) == dict(template.options)
    for key, value in template.options.items():
        assert type(changed.options[key]) is type(value)
        with pytest.raises(QdmError) as caught:
            configured(name, [f"{key}=zebra"])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "value"), [("28", 28), ("32", 32), (28, 28), (" 32", 32)])
def test_a_literal_of_numbers(text, value):
    config = resolve("defalco-unet", {"image_size": text}).config
    assert config.image_size == value
    assert type(config.image_size) is int


@pytest.mark.parametrize("wrong", ["29", "28.0", "", "none", "true", 28.0, True, None, [28]])
def test_another_number_is_refused_with_the_choices(wrong):
    with pytest.raises(InvalidOption, match=r"^image_size is one of 28, 32; got"):
        resolve("defalco-unet", {"image_size": wrong})


def test_unions_and_mixed_literals():
    auto = int | typing.Literal["auto"]
    assert convert("repeats", "3", auto) == 3
    assert convert("repeats", "auto", auto) == "auto"
    with pytest.raises(InvalidOption, match=r"repeats is a whole number.*Or: repeats is one of"):
        convert("repeats", "many", auto)
    mixed = typing.Literal["best", 1, 2.5, True, None]
    for text, value in (("best", "best"), ("1", 1), ("2.5", 2.5), ("true", True), ("none", None)):
        found = convert("kind", text, mixed)
        assert found == value
        assert type(found) is type(value)
    assert convert("kind", True, mixed) is True  # and not 1, which equals it
    with pytest.raises(InvalidOption, match=r"kind is one of best, 1, 2\.5, True, None; got '3'"):
        convert("kind", "3", mixed)
