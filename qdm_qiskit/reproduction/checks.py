"""Every check by name, and the number that each computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..analysis import Estimate
from . import closed_forms, counts, ensembles, printed
from .card import Found

__all__ = ["CHECKS", "compute"]

CHECKS: dict[str, Callable[..., float | int | Estimate]] = {
    "model": counts.model,
    "circuit": counts.circuit,
    "repeated_circuit": counts.repeated_circuit,
    "setting": counts.setting,
    "steps": counts.steps,
    "reduction": counts.reduction,
    "acting_angles": counts.acting_angles,
    "strongly_entangling": closed_forms.strongly_entangling,
    "second_half": closed_forms.second_half,
    "conv_unit": closed_forms.conv_unit,
    "chain_matrix": closed_forms.chain_matrix,
    "product_metric": closed_forms.product_metric,
    "haar_entanglement": closed_forms.haar_entanglement,
    "haar_states_entanglement": ensembles.haar_states_entanglement,
    "loss_weight": closed_forms.loss_weight,
    "noise_weight": closed_forms.noise_weight,
    "posterior_mean": closed_forms.posterior_mean,
    "average_decay": closed_forms.average_decay,
    "depolarizing": closed_forms.depolarizing,
    "haar_divergence": ensembles.haar_divergence,
    "entanglement": ensembles.entanglement,
    "mean": printed.mean,
    "deviation": printed.deviation,
    "change": printed.change,
    "difference": printed.difference,
    "lower": printed.lower,
    "growth": printed.growth,
    "largest_value": printed.largest_value,
}
"""Functions by the names of :data:`~qdm_qiskit.reproduction.check_arguments.CHECK_ARGUMENTS`."""


def compute(check: Mapping[str, Any]) -> Found:
    """Return the number of a check.

    Args:
        check: Its name in ``check``, and its arguments, as a card has them.

    Raises:
        QdmError: If an argument's value is refused by what it is handed to.
    """
    arguments = {name: value for name, value in check.items() if name != "check"}
    found = CHECKS[check["check"]](**arguments)
    if isinstance(found, Estimate):
        seeds = (arguments["seed"],) if "seed" in arguments else ()
        return Found(value=found.value, low=found.low, high=found.high, seeds=seeds)
    return Found(value=found)
