"""The kernel of a circuit."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch
from qiskit import QuantumCircuit
from torch import Tensor, nn

from ..arguments import of_kind, real_number, wrong
from ..circuits.from_circuit import spec_from_circuit
from ..circuits.spec import CircuitSpec
from ..errors import InvalidData, InvalidOption
from ..execution.devices import DeviceLike, as_backend
from .features import ExactFeatures, Features, Kind
from .noisy import NoisyFeatures
from .products import Form, check_room, product, tiled_product

__all__ = ["BATCH_NUMBERS", "QuantumKernel"]

BATCH_NUMBERS = 2**22
"""Real numbers of the states that are computed at once."""


class QuantumKernel(nn.Module):
    """Kernel of the states that a circuit makes of its inputs.

    The states of n inputs are n runs of the circuit; the matrix is one product of them
    (:mod:`.products`). Both kernels are positive semidefinite.

    - ``fidelity`` (Havlíček et al., arXiv:1804.11326): ``|<psi(x)|psi(y)>|**2``; through noise
      ``tr(rho(x) rho(y))``, whose diagonal is the purity.
    - ``projected`` (Huang et al., arXiv:2011.01938):
      ``exp(-gamma sum_k |rho_k(x) - rho_k(y)|**2)`` with the reduced states of single qubits k and
      the Frobenius norm.

    Args:
        circuit: A spec, whose readout plays no part; or any ``QuantumCircuit``, all of whose
            parameters are inputs, in Qiskit's order. It needs no measurements.
        kind: ``fidelity`` or ``projected``.
        weights: ``(num_weights,)`` angles, where the spec has weights; they can be trained.
        gamma: Factor of ``projected``, above 0; 1 if None. ``fidelity`` takes none.
        noise: Device or noise model that the circuit runs through, transpiled for it once; exact if
            None. Readout errors are no part of states.
        seed: Seed of the transpilation.

    Raises:
        InvalidOption: If an option is out of range.
        InvalidData: If the weights do not fit, or a density matrix has no room.
        UnsupportedCircuit, InvalidTemplate: If the circuit cannot run, or has no inputs.

    >>> from qiskit.circuit.library import zz_feature_map
    >>> kernel = QuantumKernel(zz_feature_map(2))
    >>> x = torch.tensor([[0.1, 0.2], [1.0, -0.5]], requires_grad=True)
    >>> kernel(x).diagonal().detach().round(decimals=5)
    tensor([1., 1.])
    """

    weights: nn.Parameter | None

    def __init__(
        self,
        circuit: CircuitSpec | QuantumCircuit,
        *,
        kind: Kind = "fidelity",
        weights: Any = None,
        gamma: float | None = None,
        noise: DeviceLike | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise InvalidOption(f"kind is 'fidelity' or 'projected', got {kind!r}.")
        if kind == "fidelity" and gamma is not None:
            raise InvalidOption(
                "gamma is of projected kernels; leave it out, or say kind='projected'."
            )
        gamma = 1.0 if gamma is None else gamma
        if not (math.isfinite(real_number(gamma, "gamma")) and gamma > 0):
            raise InvalidOption(f"gamma is a number above 0, got {gamma!r}.")
        self.spec = _spec_of(circuit)
        self.kind: Kind = kind
        self.gamma = float(gamma)
        self.weights = _weights_of(weights, self.spec)
        self.noise = None if noise is None else as_backend(noise, "noise")
        self._seed = seed

    @property
    def num_inputs(self) -> int:
        """Numbers of a row: angles, or the amplitudes that the data qubits hold."""
        amplitudes = self.spec.encoding == "amplitude"
        return self.spec.num_amplitudes if amplitudes else len(self.spec.inputs)

    @cached_property
    def _made(self) -> Features:
        if self.noise is None:
            return ExactFeatures(self.spec, self.kind)
        return NoisyFeatures(self.spec, self.kind, self.noise, self._seed)

    @property
    def _form(self) -> Form:
        if self.kind == "projected":
            return "gauss"
        return "overlap" if self.noise is None else "trace"

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the kernel of all pairs, differentiable in ``x``, ``y`` and the weights.

        Args:
            x: ``(m, num_inputs)`` float32 or float64, which is the precision of the result. Rows of
                amplitudes have any norm but zero.
            y: ``(n, num_inputs)``; ``x`` itself if None.

        Returns:
            ``(m, n)``.

        Raises:
            InvalidArgument: If one is no tensor.
            InvalidData: If a shape does not fit, a number is not finite, or the memory does not
                suffice; amplitudes through noise have no gradient.
        """
        x = self._checked(x, "x")
        y = None if y is None else self._checked(y, "y")
        self._check_room(x, y)
        left = self.features(x)
        right = left if y is None else self.features(y)
        return product(self._form, left, right, self.gamma)

    @torch.no_grad()
    def matrix(self, x: Any, y: Any = None) -> np.ndarray:
        """Return the kernel of all pairs without gradients, tile by tile.

        Args:
            x: ``(m, num_inputs)``: an array, a list or a tensor. float32 is kept, everything else is
                float64.
            y: ``(n, num_inputs)``; ``x`` itself if None, for half of the work.

        Returns:
            ``(m, n)``.

        Raises:
            As :meth:`forward`; the memory is checked before anything is computed.
        """
        left = self._checked(_tensor(x, "x"), "x")
        right = None if y is None else self._checked(_tensor(y, "y"), "y")
        if right is not None and right.dtype != left.dtype:
            left, right = left.double(), right.double()
        self._check_room(left, right)
        made = None if right is None else self.features(right)
        found = tiled_product(self._form, self.features(left), made, self.gamma)
        array: np.ndarray = found.numpy()
        return array

    def features(self, x: Tensor) -> Tensor:
        """Return the real rows of which the kernel is a product: ``(m, width)``; see :mod:`.products`.

        Raises:
            As :meth:`forward`.
        """
        x = self._checked(x, "x")
        weights = None if self.weights is None else self.weights.to(x.dtype)
        made = self._made
        size = max(1, BATCH_NUMBERS // made.work)
        parts = [made(part, weights) for part in self._values(x).split(size)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _values(self, x: Tensor) -> Tensor:
        """Return what the circuit takes of rows: angles, unit amplitudes, or a loader's angles."""
        if self.spec.encoding == "angle":
            return x
        if self.noise is None:
            return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
        if x.requires_grad:
            raise InvalidData(
                "A loader's angles are fitted and have no gradient; detach x, or leave noise out."
            )
        angles = self.spec.input_values(amplitudes=x.double().numpy())
        return torch.from_numpy(angles).to(x.dtype)

    def checked(self, x: Any, name: str) -> None:
        """Refuse rows that do not fit.

        Args:
            x: An array, a list or a tensor.
            name: Its name, for messages.

        Raises:
            InvalidArgument, InvalidData: As :meth:`matrix`.
        """
        self._checked(_tensor(x, name), name)

    def _checked(self, x: Any, name: str) -> Tensor:
        of_kind(x, Tensor, name, "torch.as_tensor makes one; `matrix` takes arrays")
        if x.dtype not in (torch.float32, torch.float64):
            raise InvalidData(f"{name} holds float32 or float64, got {x.dtype}.")
        if x.ndim != 2 or x.shape[1] != self.num_inputs or not len(x):
            raise InvalidData(
                f"{name} has shape (rows, {self.num_inputs}) for the kernel of '{self.spec.name}', "
                f"got {tuple(x.shape)}."
            )
        rows = torch.isfinite(x).all(dim=1)
        if self.spec.encoding == "amplitude":
            rows &= x.detach().ne(0).any(dim=1)
        if not bool(rows.all()):
            row = int((~rows).nonzero()[0])
            raise InvalidData(
                f"Row {row} of {name} holds NaN, an infinity, or amplitudes that are all 0."
            )
        found: Tensor = x
        return found

    def _check_room(self, x: Tensor, y: Tensor | None) -> None:
        rows, columns = len(x), len(x if y is None else y)
        check_room(rows, columns, self._made.numbers, x.element_size())

    def extra_repr(self) -> str:
        """Return the line that ``print(kernel)`` shows."""
        through = "" if self.noise is None else f", through {self.noise.name}"
        return f"{self.kind} of {self.spec.name}, {self.spec.num_qubits} qubits{through}"


def _spec_of(circuit: Any) -> CircuitSpec:
    if isinstance(circuit, QuantumCircuit):
        bare = circuit.remove_final_measurements(inplace=False) if circuit.num_clbits else circuit
        if not bare.num_parameters:
            raise InvalidData(
                f"Circuit '{circuit.name}' has no parameters, so all inputs are alike to it; encode x."
            )
        return spec_from_circuit(
            bare, inputs=list(bare.parameters), readout=range(bare.num_qubits), source="a kernel's"
        )
    if not isinstance(circuit, CircuitSpec):
        raise wrong(circuit, "circuit", "a CircuitSpec or a QuantumCircuit")
    if circuit.encoding == "amplitude" and (circuit.inputs or circuit.complex_amplitudes):
        raise InvalidData(
            f"A kernel takes rows of angles or of real amplitudes, and '{circuit.name}' takes "
            f"{'both' if circuit.inputs else 'complex ones'}; bind its inputs or take another circuit."
        )
    if circuit.encoding == "angle" and not circuit.inputs:
        raise InvalidData(
            f"'{circuit.name}' has no inputs, so all inputs are alike to it; encode x."
        )
    return circuit


def _weights_of(given: Any, spec: CircuitSpec) -> nn.Parameter | None:
    count = len(spec.weights)
    if given is None and not count:
        return None
    if given is None:
        raise InvalidData(f"'{spec.name}' has {count} weights, got none; give weights=angles.")
    values = _tensor(given, "weights")
    if tuple(values.shape) != (count,) or not bool(torch.isfinite(values).all()):
        raise InvalidData(
            f"weights of '{spec.name}' are {count} finite numbers, got shape {tuple(values.shape)}."
        )
    return nn.Parameter(values.clone()) if count else None


def _tensor(given: Any, name: str) -> Tensor:
    """Return real numbers as float32 if they are, else float64."""
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        narrow = given.dtype == torch.float32
    else:
        narrow = getattr(given, "dtype", None) == np.float32
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):
        raise wrong(given, name, "an array of numbers") from None
    if array.dtype.kind not in "fiub":
        raise wrong(given, name, "an array of real numbers")
    return torch.from_numpy(np.array(array, dtype=np.float32 if narrow else np.float64))
