"""What a class lacks to be a model, told in one line each; the name above all, which becomes files."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from qdm_qiskit.errors import InvalidArgument, InvalidExtension
from qdm_qiskit.models import CircuitDenoiser, Denoiser
from qdm_qiskit.models.contract import check_model, checked_class


@dataclass(frozen=True, kw_only=True)
class Options:
    image_size: int = 2
    channels: int = 1


class Good(Denoiser):
    name = "good"
    config_class = Options

    def __init__(self, config, *, generator=None):
        super().__init__()
        self.config, self.image_shape = config, (1, 2, 2)

    def forward(self, x, t, labels=None):
        return x


def named(name: object) -> type[Denoiser]:
    return type("Named", (Good,), {"name": name})


@pytest.mark.parametrize("name", ["a", "7", "Wave-2_b", "x" * 64])
def test_a_good_name(name):
    kind = named(name)
    assert checked_class(kind) is kind
    assert checked_class(kind, name) is kind


@pytest.mark.parametrize(
    "name",
    ["", "-a", "_a", "x" * 65, "a b", "a/b", "../a", "a.b", "a:b", "wörld", "a\n", "٣", "a\0"],
)
def test_a_name_that_files_and_tags_cannot_have(name):
    with pytest.raises(InvalidArgument, match="up to 64 letters, digits, '-' and '_'") as caught:
        checked_class(named(name))
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [None, 3, b"a", ["a"]])
def test_a_name_that_is_no_text(name):
    with pytest.raises(InvalidArgument, match="class attribute `name`, and Named has"):
        checked_class(named(name))


def test_a_name_that_is_not_the_entry_points():
    with pytest.raises(InvalidArgument, match="entry point, 'other', and Named has 'wave'"):
        checked_class(named("wave"), "other")


@pytest.mark.parametrize("part", [3, "good", Options, Good(Options())])
def test_what_is_no_class_of_models(part):
    with pytest.raises(InvalidArgument, match="a model is a class derived from"):
        checked_class(part)


def test_options_whose_types_cannot_be_read():
    @dataclass(frozen=True)
    class Unknown:
        image_size: "Nowhere" = 2  # noqa: F821, UP037 (what is tested)

    with pytest.raises(InvalidArgument, match=r"fields of Unknown cannot be read: .*Nowhere"):
        checked_class(type("Named", (Good,), {"config_class": Unknown}))


def test_options_that_can_change():
    @dataclass
    class Loose:
        image_size: int = 2
        channels: int = 1

    with pytest.raises(InvalidArgument, match=r"is a frozen dataclass.*class .*Loose"):
        checked_class(type("Named", (Good,), {"config_class": Loose}))


def test_a_model_that_keeps_no_circuit():
    class Bare(CircuitDenoiser):
        name = "bare"
        config_class = Options

        def __init__(self, config, *, generator=None):
            super().__init__()
            self.config, self.image_shape = config, (1, 2, 2)

        def encode(self, x, labels):
            return x, None

        def decode(self, outputs):
            return outputs

    checked_class(Bare)
    with pytest.raises(InvalidExtension, match=r"sets self\.layer to its circuit's QuantumLayer"):
        check_model(Bare(Options()), Options())


def test_a_model_as_it_should_be():
    check_model(Good(Options()), Options())
