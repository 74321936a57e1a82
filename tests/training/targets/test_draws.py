"""Streams of a step: its own, the layer's, the call's, and the same again on resume."""

from __future__ import annotations

from qdm_qiskit.training.targets.draws import Draws


def test_every_address_has_its_own_stream():
    draws, found = Draws(3), {}
    for place in ((0, 1), (1, 0), (0, 2)):
        draws.begin(*place)
        for name in ("layer", "other"):
            for number in range(2):
                found[place, name, number] = draws.next_seed(name)
    assert len(set(found.values())) == len(found) == 12
    draws.begin(1, 0)
    assert draws.next_seed("layer") == found[(1, 0), "layer", 0]
    assert Draws(4).next_seed("layer") != Draws(3).next_seed("layer")
    draws.begin(0, 1)
    first = draws.next("layer").random()
    draws.begin(0, 1)
    assert draws.next("layer").random() == first
