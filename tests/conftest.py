"""What a test leaves to the next one: nothing."""

from __future__ import annotations

import pytest

from qdm_qiskit.execution import devices, provider_names


@pytest.fixture(autouse=True)
def names_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the devices and providers that a test (or a page that it runs) gave as objects."""
    monkeypatch.setattr(devices, "_in_hand", dict(devices._in_hand))
    monkeypatch.setattr(provider_names, "_in_hand", set(provider_names._in_hand))
