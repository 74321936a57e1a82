"""Barren plateaus: the variance of gradients, and how it falls with the number of qubits.

References:
    McClean et al., arXiv:1803.11173; Cerezo et al., arXiv:2001.00550, for global and local costs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from ..arguments import shown, whole_number, wrong
from ..circuits import CircuitSpec
from ..engine import CircuitProgram
from ..errors import InvalidData, InvalidOption
from ..progress import Message, Progress, silent
from .estimates import Estimate, variance_estimate
from .states import (
    analysed_circuit,
    check_qubits,
    check_samples,
    chunks,
    compile_random,
    random_angles,
)

__all__ = [
    "GRADIENT_CHUNK",
    "ROUNDING",
    "Cost",
    "Fit",
    "GradientScan",
    "Observable",
    "gradient_samples",
    "gradient_scan",
    "gradient_variance",
    "haar_gradient_variance",
    "scan_circuits",
]

ROUNDING = 1e-14
"""A derivative below this differs from 0 by rounding only, and is 0."""
GRADIENT_CHUNK = 2**17
"""Amplitudes of one backward pass; 2 MiB in complex128, which a core's cache holds."""

Cost: TypeAlias = Literal["global", "local"]
"""``"global"``: the projector on |0...0>. ``"local"``: the mean over the qubits of the projector of one
qubit on |0>. Both are costs of Cerezo et al. (up to 1 minus), between 0 and 1."""

Observable: TypeAlias = SparsePauliOp | Cost
"""Quantity that is measured: an observable on all qubits, or a cost that every size has."""


def gradient_samples(
    source: CircuitSpec | QuantumCircuit,
    observable: Observable,
    *,
    samples: int = 500,
    generator: np.random.Generator,
    start_angle: float = 0.0,
) -> np.ndarray:
    """Exact gradients of an expectation value at random parameters.

    Args:
        source: A spec or a circuit; every parameter is drawn uniformly from [0, 2 pi).
        observable: See :data:`Observable`.
        samples: Points, at least 2.
        generator: Of the angles.
        start_angle: RY of this angle in radians on each qubit first.

    Returns:
        ``(samples, parameters)`` derivatives, columns in the order of ``circuit.parameters``.

    Raises:
        InvalidOption: If there are too few samples, or the observable has an unknown name.
        InvalidData: If the observable acts on another number of qubits.
        InvalidTemplate, UnsupportedCircuit: As for :func:`~.states.analysed_circuit`.
    """
    circuit = analysed_circuit(source, start_angle)
    measure = _measurement(observable, circuit.num_qubits)
    program = compile_random(circuit)
    angles = random_angles(circuit, samples, generator)
    found = []
    for part in chunks(samples, circuit.num_qubits, GRADIENT_CHUNK):
        here = angles[part].clone().requires_grad_()
        (grad,) = torch.autograd.grad(measure(program, here).sum(), here)
        found.append(grad)
    values = torch.cat(found).numpy()
    values[np.abs(values) < ROUNDING] = 0.0
    return values


def haar_gradient_variance(observable: Observable, num_qubits: int) -> float:
    """Variance where the circuit before and after a rotation is a 2-design: the deep limit.

    For ``exp(-i theta P / 2)`` with a Pauli P and N = 2**n it is
    ``N / (2 (N + 1)) * (Tr O**2 - (Tr O)**2 / N) / (N**2 - 1)``, from the second moments of the Haar
    measure: ``1 / (2 (N + 1)**2)`` for the global cost, about ``1 / (8 n N)`` for the local one.

    Args:
        observable: See :data:`Observable`.
        num_qubits: n, at least 1.

    Returns:
        The variance.

    Raises:
        InvalidOption, InvalidData: As for :func:`gradient_samples`.

    >>> round(haar_gradient_variance("global", 2), 12)
    0.02
    """
    check_qubits(num_qubits)
    n, dimension = num_qubits, 2**num_qubits
    _check_observable(observable)
    if observable == "global":
        spread = 1 - 1 / dimension
    else:
        pauli_sum = observable if isinstance(observable, SparsePauliOp) else _local_cost(n)
        if pauli_sum.num_qubits != n:
            raise InvalidData(
                f"Observables act on all {n} qubits, got one on {pauli_sum.num_qubits}."
            )
        terms = pauli_sum.simplify()
        traceless = (terms.paulis.x | terms.paulis.z).any(axis=1)
        spread = dimension * float(np.sum(np.abs(terms.coeffs[traceless]) ** 2))
    return dimension / (2 * (dimension + 1)) * spread / (dimension**2 - 1)


def _local_cost(num_qubits: int) -> SparsePauliOp:
    terms = [("I", [0], 0.5), *(("Z", [q], 0.5 / num_qubits) for q in range(num_qubits))]
    return SparsePauliOp.from_sparse_list(terms, num_qubits)


def _check_observable(observable: object) -> None:
    known = isinstance(observable, str) and observable in ("global", "local")
    if not (known or isinstance(observable, SparsePauliOp)):
        raise InvalidOption(
            f"The observable is global, local or a SparsePauliOp; got {shown(observable)}."
        )


def _measurement(
    observable: Observable, num_qubits: int
) -> Callable[[CircuitProgram, Tensor], Tensor]:
    _check_observable(observable)
    if isinstance(observable, SparsePauliOp):
        return lambda program, angles: program.expectation([observable], angles)
    if observable == "global":
        zeros = dict.fromkeys(range(num_qubits), 0)
        return lambda program, angles: program.probabilities(angles, qubits=[], postselect=zeros)
    local = _local_cost(num_qubits)
    return lambda program, angles: program.expectation([local], angles)


def gradient_variance(
    source: CircuitSpec | QuantumCircuit,
    observable: Observable,
    *,
    samples: int = 500,
    generator: np.random.Generator,
    start_angle: float = 0.0,
    component: int | None = None,
) -> Estimate:
    """Variance of a derivative over random parameters.

    Args:
        source, observable, samples, start_angle: As for :func:`gradient_samples`.
        generator: Of the angles, and then of the bootstrap.
        component: Position of the parameter in name order; the mean over all of them if None.

    Returns:
        The variance with a bootstrap interval.

    Raises:
        InvalidOption: As for :func:`gradient_samples`, or if there is no such component.
        InvalidData, InvalidTemplate, UnsupportedCircuit: As for :func:`gradient_samples`.
    """
    found = gradient_samples(
        source, observable, samples=samples, generator=generator, start_angle=start_angle
    )
    if component is not None:
        if not 0 <= whole_number(component, "component") < found.shape[1]:
            raise InvalidOption(
                f"component is a position among {found.shape[1]} parameters, got {component}."
            )
        found = found[:, component]
    return variance_estimate(found, generator)


@dataclass(frozen=True)
class Fit:
    """A straight line through logarithms of variances, weighted by their errors."""

    slope: float
    """Exponent; see :class:`GradientScan` for its unit."""
    error: float
    """Standard error of the slope, scaled up where the points scatter more than their intervals."""
    chi_squared: float
    """Sum of squared residuals in standard errors; about ``points - 2`` where the line is right."""
    points: int
    """Sizes that went into it."""


@dataclass(frozen=True)
class GradientScan:
    """Gradient variance of one family of circuits at several sizes."""

    qubits: tuple[int, ...]
    """Numbers of qubits, increasing."""
    variances: tuple[Estimate, ...]
    """Variance at each size."""
    deep_limits: tuple[float, ...] = ()
    """:func:`haar_gradient_variance` at each size."""

    def exponential(self) -> Fit:
        """``log2(variance)`` against the number of qubits: -1 halves it with each qubit.

        Raises:
            InvalidData: If there are fewer than 3 sizes, or a variance is 0.
        """
        return self._fit([float(n) for n in self.qubits])

    def power_law(self) -> Fit:
        """``log2(variance)`` against ``log2(qubits)``: -1 is a decay as 1/n.

        Raises: As for :meth:`exponential`.
        """
        return self._fit([math.log2(n) for n in self.qubits])

    def _fit(self, positions: list[float]) -> Fit:
        if len(positions) < 3 or any(each.low <= 0 for each in self.variances):
            raise InvalidData(
                "A decay is fitted to at least 3 sizes whose variances are above 0, got "
                f"{[each.value for each in self.variances]}."
            )
        y = np.log2([each.value for each in self.variances])
        # Half the width of a 95 % interval is 1.96 standard errors.
        sigma = np.array([math.log2(each.high / each.low) / 3.92 for each in self.variances])
        design = np.stack([np.ones(len(positions)), np.array(positions)], axis=1) / sigma[:, None]
        covariance = np.linalg.inv(design.T @ design)
        solution = covariance @ design.T @ (y / sigma)
        chi_squared = float(np.sum((y / sigma - design @ solution) ** 2))
        scale = max(1.0, chi_squared / (len(positions) - 2))
        return Fit(
            slope=float(solution[1]),
            error=float(math.sqrt(covariance[1, 1] * scale)),
            chi_squared=chi_squared,
            points=len(positions),
        )


def scan_circuits(circuits: Sequence[CircuitSpec | QuantumCircuit]) -> list[QuantumCircuit]:
    """The circuits of a scan, all of them checked before the first is measured.

    Args:
        circuits: As for :func:`gradient_scan`.

    Returns:
        One circuit for each size.

    Raises:
        InvalidOption: If there are none, or the numbers of qubits do not increase.
        InvalidTemplate, UnsupportedCircuit: As for :func:`~.states.analysed_circuit`.
    """
    if isinstance(circuits, str | CircuitSpec | QuantumCircuit) or not isinstance(
        circuits, Iterable
    ):
        raise wrong(circuits, "circuits", "a sequence of circuits or specs")
    found = [analysed_circuit(each) for each in circuits]
    sizes = [each.num_qubits for each in found]
    if not sizes or any(b <= a for a, b in itertools.pairwise(sizes)):
        raise InvalidOption(f"A scan needs increasing numbers of qubits, got {sizes}.")
    return found


def gradient_scan(
    circuits: Sequence[CircuitSpec | QuantumCircuit],
    cost: Cost,
    *,
    samples: int = 500,
    generator: np.random.Generator,
    start_angle: float = 0.0,
    component: int | None = None,
    progress: Progress = silent,
) -> GradientScan:
    """Gradient variance of circuits of growing size.

    Args:
        circuits: One for each size, the number of qubits increasing.
        cost: See :data:`Cost`.
        samples, generator, start_angle, component: As for :func:`gradient_variance`.
        progress: Receives each size that is done.

    Returns:
        The variances; :meth:`GradientScan.exponential` fits their decay.

    Raises:
        InvalidOption: If the sizes do not increase, or as for :func:`gradient_variance`.
        InvalidData, InvalidTemplate, UnsupportedCircuit: As for :func:`gradient_samples`.
    """
    check_samples(samples)
    found = scan_circuits(circuits)
    sizes = tuple(each.num_qubits for each in found)
    variances = []
    for done, circuit in enumerate(found, start=1):
        variances.append(
            gradient_variance(
                circuit,
                cost,
                samples=samples,
                generator=generator,
                start_angle=start_angle,
                component=component,
            )
        )
        progress(Message("scan", done, len(found)))
    limits = tuple(haar_gradient_variance(cost, n) for n in sizes)
    return GradientScan(sizes, tuple(variances), limits)
