"""Arguments of each check, so that a card can be read without torch and Qiskit.

A test holds the table to the functions of :mod:`~qdm_qiskit.reproduction.checks`.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["CHECK_ARGUMENTS", "Kind"]

Kind = Literal["text", "whole", "number", "numbers", "options", "texts"]
"""``texts``: text, or a list of texts. ``options``: an object of options by name."""

CHECK_ARGUMENTS: dict[str, dict[str, Kind]] = {
    # counts
    "model": {"model": "text", "count": "text", "options": "options", "module": "text"},
    "circuit": {"circuit": "text", "count": "texts", "options": "options"},
    "repeated_circuit": {
        "circuit": "text",
        "count": "texts",
        "options": "options",
        "times": "whole",
    },
    "setting": {"preset": "text", "option": "text", "position": "whole"},
    "steps": {"preset": "text", "images": "whole"},
    "reduction": {"num_data": "whole"},
    "acting_angles": {"circuit": "text", "options": "options", "seed": "whole"},
    # closed forms
    "strongly_entangling": {"num_wires": "whole", "depth": "whole", "seed": "whole"},
    "second_half": {"num_data": "whole", "depth": "whole", "draws": "whole", "seed": "whole"},
    "conv_unit": {"sign": "number", "seed": "whole"},
    "chain_matrix": {"image_size": "whole", "depth": "whole", "steps": "whole", "seed": "whole"},
    "product_metric": {"qubits": "whole", "seed": "whole"},
    "haar_entanglement": {"qubits": "whole"},
    "haar_states_entanglement": {"qubits": "whole", "samples": "whole", "seed": "whole"},
    "loss_weight": {"steps": "whole"},
    "noise_weight": {"steps": "whole", "step": "whole"},
    "posterior_mean": {"steps": "whole", "beta": "number"},
    "average_decay": {"step": "whole"},
    "depolarizing": {"qubits": "whole", "steps": "whole", "seed": "whole"},
    # ensembles of states
    "haar_divergence": {
        "depth": "whole",
        "mixing": "text",
        "repeats": "whole",
        "seed": "whole",
    },
    "entanglement": {"depth": "whole", "mixing": "text", "samples": "whole", "seed": "whole"},
    # arithmetic on what the paper prints
    "mean": {"values": "numbers"},
    "deviation": {"values": "numbers"},
    "change": {"before": "number", "after": "number"},
    "difference": {"values": "numbers"},
    "lower": {"values": "numbers", "beside": "numbers"},
    "growth": {"at": "numbers", "values": "numbers"},
    "largest_value": {"error": "number", "decibel": "number"},
}
"""Argument names and kinds by check. Those of :data:`OPTIONAL` may be left out."""

OPTIONAL = frozenset({"options", "module", "position"})
"""Arguments that a check has a default for."""
