"""The settings of a root: read, refused, and described as they are."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.hardware.providers.settings import FILE, ServiceSettings, read_settings
from tests.helpers import ROOT

PAGE = ROOT / "docs" / "hardware.md"


def test_the_page_lists_every_setting_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| (\S.*?) \| \S.* \|$", PAGE.read_text(), re.MULTILINE)
    known = {each.name: each.default for each in fields(ServiceSettings)}
    listed = {name: json.loads(default) for name, default in rows if name in known}
    assert list(listed) == list(known)
    for name, default in known.items():
        assert listed[name] == (list(default) if isinstance(default, tuple) else default), name


def test_a_root_has_the_defaults_changed_by_its_file(tmp_path):
    assert read_settings(tmp_path) == ServiceSettings()
    (tmp_path / FILE).write_text('{"poll_seconds": 30, "lookup_pauses_seconds": [0, 2]}')
    found = read_settings(tmp_path)
    assert (found.poll_seconds, found.lookup_pauses_seconds) == (30.0, (0.0, 2.0))
    assert found.retry_seconds == ServiceSettings().retry_seconds


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ('{"pol_seconds": 30}', InvalidOption, "poll_seconds"),
        ('{"poll_seconds": -1}', InvalidOption, "poll_seconds"),
        ('{"poll_seconds": "soon"}', InvalidOption, "poll_seconds"),
        ('{"poll_seconds": NaN}', (InvalidOption, InvalidData), "NaN|poll_seconds"),
        ('{"submit_attempts": 0}', InvalidOption, "at least 1"),
        ('{"lookup_pauses_seconds": []}', InvalidOption, "not empty"),
        ("[]", InvalidData, FILE),
        ("{", InvalidData, FILE),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, content, error, says):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(error, match=says):
        read_settings(tmp_path)
