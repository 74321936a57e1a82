"""A user's primitive on Aer, with circuits that Aer runs right and whose noise is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, final

from qiskit import QuantumCircuit
from qiskit.primitives import (
    BaseEstimatorV2,
    BasePrimitiveJob,
    BaseSamplerV2,
    PrimitiveResult,
    PubResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike

from ..errors import UnsupportedCircuit
from .aer_circuits import for_aer
from .noise_coverage import NoiseCoverage, UnknownGates

if TYPE_CHECKING:
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

__all__ = [
    "AerReadyEstimator",
    "AerReadySampler",
    "aer_behind",
    "estimated_noise",
    "noise_behind",
]


def aer_behind(primitive: object) -> AerSimulator | None:
    """Return the Aer simulator on which a primitive runs its circuits; None if it is another."""
    from qiskit_aer import AerSimulator

    backend = getattr(primitive, "_backend", None)
    return backend if isinstance(backend, AerSimulator) else None


def noise_behind(primitive: object) -> NoiseModel | None:
    """Return the noise model of a primitive on Aer."""
    simulator = aer_behind(primitive)
    if simulator is None:
        return None
    run_options = getattr(getattr(primitive, "options", None), "run_options", None)
    own = run_options.get("noise_model") if isinstance(run_options, dict) else None
    return getattr(simulator.options, "noise_model", None) if own is None else own


def estimated_noise(primitive: object) -> NoiseModel | None:
    """Return the noise model of Aer's own Estimator, which measures nothing; None of others."""
    from qiskit_aer.primitives import EstimatorV2

    return noise_behind(primitive) if isinstance(primitive, EstimatorV2) else None


class _Preparation:
    """Preparation of every circuit; equal circuits of a job are prepared once."""

    def __init__(self, noise: NoiseModel | None, unknown_gates: UnknownGates) -> None:
        wanted = noise is not None and unknown_gates == "refuse"
        self._coverage = NoiseCoverage(noise, takes_device=True) if wanted else None

    def __call__(self, circuits: list[QuantumCircuit]) -> list[QuantumCircuit]:
        ready: dict[int, QuantumCircuit] = {}
        for circuit in circuits:
            if id(circuit) not in ready:
                ready[id(circuit)] = self._one(circuit)
        return [ready[id(circuit)] for circuit in circuits]

    def _one(self, circuit: QuantumCircuit) -> QuantumCircuit:
        if self._coverage is not None:
            self._coverage.check(circuit)
        return for_aer(circuit)


@final
class AerReadyEstimator(BaseEstimatorV2):
    """An estimator on Aer that gets every circuit in the form of :func:`.aer_circuits.for_aer`.

    Args:
        estimator: The estimator that does the work.
        unknown_gates: ``"refuse"`` names gates that its noise model does not know.
    """

    def __init__(self, estimator: BaseEstimatorV2, unknown_gates: UnknownGates = "refuse") -> None:
        self._estimator = estimator
        self._prepare = _Preparation(noise_behind(estimator), unknown_gates)

    @property
    def options(self) -> Any:
        """Options of the estimator behind it."""
        return self._estimator.options

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> BasePrimitiveJob[PrimitiveResult[PubResult], Any]:
        """See :meth:`qiskit.primitives.BaseEstimatorV2.run`.

        Raises:
            UnsupportedCircuit: If the noise model knows gates and lacks one of a circuit's.
        """
        coerced = [EstimatorPub.coerce(pub) for pub in pubs]
        circuits = self._prepare([pub.circuit for pub in coerced])
        ready = [
            EstimatorPub(circuit, pub.observables, pub.parameter_values, pub.precision)
            for circuit, pub in zip(circuits, coerced, strict=True)
        ]
        return self._estimator.run(ready, precision=precision)


@final
class AerReadySampler(BaseSamplerV2):
    """A sampler on Aer that gets every circuit in the form of :func:`.aer_circuits.for_aer`.

    Args:
        sampler: The sampler that does the work.
        unknown_gates: ``"refuse"`` names gates that its noise model does not know.
    """

    def __init__(self, sampler: BaseSamplerV2, unknown_gates: UnknownGates = "refuse") -> None:
        self._sampler = sampler
        self._prepare = _Preparation(noise_behind(sampler), unknown_gates)

    @property
    def options(self) -> Any:
        """Options of the sampler behind it."""
        return self._sampler.options

    def run(
        self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None
    ) -> BasePrimitiveJob[PrimitiveResult[SamplerPubResult], Any]:
        """See :meth:`qiskit.primitives.BaseSamplerV2.run`.

        Raises:
            UnsupportedCircuit: If the noise model knows gates and lacks one of a circuit's, or a
                register's bits do not lie side by side: Aer would read others.
        """
        coerced = [SamplerPub.coerce(pub) for pub in pubs]
        for pub in coerced:
            _check_registers(pub.circuit)
        circuits = self._prepare([pub.circuit for pub in coerced])
        ready = [
            SamplerPub(circuit, pub.parameter_values, pub.shots)
            for circuit, pub in zip(circuits, coerced, strict=True)
        ]
        return self._sampler.run(ready, shots=shots)


def _check_registers(circuit: QuantumCircuit) -> None:
    """Refuse registers that Aer's sampler misreads: it looks up the place of their first bit alone."""
    for register in circuit.cregs:
        places = [circuit.find_bit(bit).index for bit in register]
        if places and places != list(range(places[0], places[0] + len(places))):
            raise UnsupportedCircuit(
                f"The bits of register '{register.name}' are bits {places} of circuit "
                f"'{circuit.name}', and Aer's sampler reads those of neighbours for them; measure into "
                "a register of its own, ClassicalRegister(size)."
            )
