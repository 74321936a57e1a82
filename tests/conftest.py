"""What a test leaves to the next one: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from qdm_qiskit.execution import devices, provider_names

collect_ignore = ["user_code.py"]  # type-checked from outside, never imported


@pytest.fixture(autouse=True)
def names_in_hand(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget devices, providers and QDM_HOME that a test, or a page that it runs, has given."""
    monkeypatch.setattr(devices, "_in_hand", dict(devices._in_hand))
    monkeypatch.setattr(provider_names, "_in_hand", set(provider_names._in_hand))
    home = os.environ.get("QDM_HOME")
    yield
    if home is None:
        os.environ.pop("QDM_HOME", None)
    else:
        os.environ["QDM_HOME"] = home
