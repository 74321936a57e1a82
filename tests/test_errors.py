"""The exception tree: what its docstring draws is what there is."""

from __future__ import annotations

import inspect
import re

import pytest

from qdm_qiskit import errors
from qdm_qiskit.errors import MissingData, OutputNotWritable, QdmError, unknown_name

LEAVES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, QdmError) and each is not QdmError
]


def test_docstring_draws_every_error_with_its_builtin():
    drawn = dict(re.findall(r"\+ (\w+)\s+\(also (\w+)\)", errors.__doc__ or ""))
    assert drawn == {leaf.__name__: leaf.__bases__[1].__name__ for leaf in LEAVES}


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_errors_print_their_message_as_it_is(leaf):
    message = "A rule, what was got, and the way out."
    assert str(leaf(message)) == message
    assert issubclass(leaf, Exception)


@pytest.mark.parametrize("error", [MissingData, OutputNotWritable])
def test_errors_without_a_message_print_nothing(error):
    assert str(error()) == ""


def test_unknown_name_lists_what_exists_and_the_nearest():
    error = unknown_name("model", "eqdm", ["qddm", "eeqdm"])
    assert isinstance(error, LookupError)
    assert str(error) == "There is no model 'eqdm'. Did you mean 'eeqdm'? There are: eeqdm, qddm."
    assert "Did you mean" not in str(unknown_name("model", "zzzz", ["qddm", "eeqdm"]))
