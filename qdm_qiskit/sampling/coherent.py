"""All steps of a reverse chain in one circuit, each acting on the state before it.

This needs a process that takes the prediction as x_{t-1} and a model of circuits with projected or
measured ancillas: Cacioppo's without activation, the latent ones, Kölle's unitary single sample,
QuDDPM. x_T is loaded once, every step has ancillas of its own, and the moduli are read at the end.
So a chain is one call, and no step needs amplitudes, which no device gives.

Projected ancillas cost shots: the kept share is the product over the steps.
:meth:`CoherentChain.expected_share` predicts it exactly, and a chain that would keep less than one
shot is refused. QuDDPM's ancillas are measured and not projected: each shot has a history of
outcomes, and each history has a state of its own. One history is drawn from the shots in the basis of
the data, so that histories come as often as in the model. Tomography then estimates its state, up to
a global phase, from those shots of each setting that have the same history; one without a shot in
some setting tells no state and is drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from qiskit.providers import BackendV2
from torch import Tensor

from ..circuits.composition import Part, composed
from ..circuits.readouts import ProbabilityReadout
from ..circuits.spec import CircuitSpec
from ..diffusion import DiffusionProcess
from ..errors import InvalidData, TargetUnavailable
from ..execution.calls import CallResult, CallTarget, CircuitCall
from ..execution.counts import MAX_CLBITS
from ..layers.arrays import to_exact_array
from ..layers.calling import ExactTarget
from ..layers.executors import EngineExecutor
from ..mitigation.tomography import (
    basis_angles,
    estimate_states,
    in_product_basis,
    tomography_settings,
)
from ..models import Denoiser
from .ancillas import reuses_qubits

__all__ = [
    "MAX_RECORDED",
    "ChainResult",
    "CoherentChain",
]

MAX_RECORDED = 14
"""Most bits of a chain with recorded ancillas: each setting of each image has so many outcomes."""


@dataclass(frozen=True, eq=False)
class ChainResult:
    """Result of a chain in one circuit."""

    states: Tensor
    """``(batch, ...)`` complex: x_0; its phases are 0 where only moduli are read."""
    kept: np.ndarray
    """``(batch,)``: share of the shots behind each image."""
    predicted: np.ndarray | None
    """``(batch,)``: the exact expected share, of histories in the mean; None if nobody computed it."""
    histories: np.ndarray | None = None
    """``(batch,)`` int: outcomes of the ancillas, the first step's least significant."""
    told: np.ndarray | None = None
    """``(batch,)``: share of the shots whose histories have shots in every setting, so that one of
    them could be drawn; None without histories."""

    def manifest(self) -> dict[str, Any]:
        """Return the chain's record, ready for JSON."""
        return {
            "circuits": "one",
            "kept": self.kept.tolist(),
            "predicted_kept": None if self.predicted is None else self.predicted.tolist(),
            "histories": None if self.histories is None else self.histories.tolist(),
            **({} if self.told is None else {"told": self.told.tolist()}),
        }


@final
@dataclass(frozen=True, eq=False)
class CoherentChain:
    """A model's whole reverse chain as one circuit; :meth:`of` makes it."""

    model: Denoiser
    parts: tuple[Part, ...]
    """Steps from x_T to x_0, with their angles."""
    spec: CircuitSpec
    """All parts one behind another, on fresh ancillas."""
    keeps_norm: bool
    """True if x_0 keeps the norm that the projections leave, as Kölle's images; False for norm
    1."""

    @classmethod
    def of(cls, model: Denoiser, process: DiffusionProcess) -> CoherentChain:
        """Compose a model's chain.

        Args:
            model: With its weights.
            process: The process that it was trained with.

        Returns:
            The chain.

        Raises:
            TargetUnavailable: If its steps are no circuits on one state, or have more bits than
                counts are kept for; the message gives the reason and the way out.
        """
        if not (process.keeps_prediction or process.compares_ensembles):
            raise TargetUnavailable(
                f"The process of this run puts arithmetic between the steps of '{model.name}', so they "
                "are no one circuit; run it step by step."
            )
        parts = model.chain_parts(process.num_steps)
        spec = composed(f"{model.name}_chain", parts, record=process.compares_ensembles)
        spec = spec.loaded_by(model.call_loader)
        recorded = len(_recorded(spec))
        most = MAX_RECORDED if recorded else MAX_CLBITS
        if spec.num_qubits > most:
            raise TargetUnavailable(
                f"All {process.num_steps} steps of '{model.name}' in one circuit measure "
                f"{spec.num_qubits} bits, and counts are kept for at most {most}; run it step by step, "
                "or train it with fewer steps."
            )
        return cls(model, parts, spec, process.state_space == "complex_image")

    @property
    def tells_states(self) -> bool:
        """True if histories are recorded and their states estimated; False if moduli are read."""
        return bool(_recorded(self.spec))

    @torch.no_grad()
    def kept(self, x: Tensor, labels: Tensor | None = None) -> np.ndarray:
        """Return the exact share of shots that passes all projections, from the engine.

        Args:
            x: ``(batch, ...)`` complex: x_T.
            labels: ``(batch,)`` of guided models.

        Returns:
            ``(batch,)`` float64; 1 where histories are recorded.
        """
        states, inputs = _unit(x), self._inputs(labels, len(x))
        share = torch.ones(len(x), dtype=torch.float64)
        if self.tells_states:
            return to_exact_array(share)
        engines: dict[int, EngineExecutor] = {}
        for part in self.parts:
            assert part.angles is not None
            spec, angles = part.spec, part.angles
            if part.repeats > 1:
                spec, angles = composed(spec.name, [part]), np.zeros(0)
            engine = engines.setdefault(id(spec), EngineExecutor(spec))
            states = engine.statevector(
                torch.from_numpy(angles),
                states,
                inputs if spec.inputs else None,
                renormalise=False,
            )
            norm = torch.linalg.vector_norm(states, dim=1)
            share = share * norm.square()
            states = states / norm.clamp_min(1e-300)[:, None]
        return to_exact_array(share)

    @torch.no_grad()
    def history_share(self, x: Tensor, labels: Tensor | None = None) -> np.ndarray:
        """Return the share of an image's shots that has its history, in the mean over histories.

        A history of probability p is drawn with p, and has this share of the shots.

        Args:
            x: ``(batch, ...)`` complex: x_T.
            labels: ``(batch,)`` of guided models.

        Returns:
            ``(batch,)`` float64: the sum of ``p**2`` over the histories; 1 where none are recorded.
        """
        if not self.tells_states:
            return np.ones(len(x))
        [call] = self.calls(x, labels, shots=None)
        assert call.amplitudes is not None
        assert call.inputs is not None
        settings = len(tomography_settings(len(self.spec.data_qubits)))
        data = replace(call, amplitudes=call.amplitudes[::settings], inputs=call.inputs[::settings])
        [result] = ExactTarget().answer([data])
        p = result.outputs.reshape(len(x), -1, self.spec.num_amplitudes).sum(axis=2)
        return np.asarray((p**2).sum(axis=1))

    def expected_share(self, x: Tensor, labels: Tensor | None = None) -> np.ndarray:
        """Return the expected share of an image's shots that is behind x_0, ``(batch,)`` float64.

        It is that of all projections, or of histories that of the drawn one in the mean.

        Args:
            x, labels: As for :meth:`kept`.
        """
        return self.history_share(x, labels) if self.tells_states else self.kept(x, labels)

    def calls(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        *,
        shots: int | None,
        reuse_qubits: bool = False,
    ) -> list[CircuitCall]:
        """Return the calls of the whole chain, all of one job.

        Args:
            x: ``(batch, ...)`` complex: x_T.
            labels: ``(batch,)`` of guided models.
            shots: Shots of each image, and of each setting where states are estimated; None for
                exact values.
            reuse_qubits: True to measure and reset ancillas in the middle, in place of fresh ones.
        """
        spec, amplitudes = self.spec, to_exact_array(_unit(x))
        inputs = self._inputs(labels, len(x))
        values = None if inputs is None else to_exact_array(inputs)
        if self.tells_states:
            settings = tomography_settings(len(spec.data_qubits))
            spec = in_product_basis(spec, spec.data_qubits)
            turns = np.tile(basis_angles(settings), (len(x), 1))
            amplitudes = amplitudes.repeat(len(settings), axis=0)
            before = [] if values is None else [values.repeat(len(settings), axis=0)]
            values = np.concatenate([*before, turns], axis=1)
        call = CircuitCall(
            name="chain",
            spec=spec,
            angles=np.zeros(0),
            amplitudes=amplitudes,
            inputs=values,
            shots=shots,
            reuse_qubits=reuse_qubits,
        )
        return [call]

    def call_on(
        self,
        device: BackendV2 | None,
        x: Tensor,
        labels: Tensor | None = None,
        *,
        shots: int | None,
    ) -> CircuitCall:
        """Return the call of the whole chain in the form that suits a device.

        Args:
            device: The device; None for fresh ancillas.
            x, labels, shots: As for :meth:`calls`.

        Raises:
            UnsupportedCircuit: As :func:`.reuses_qubits`.
        """
        [fresh] = self.calls(x, labels, shots=shots)
        [reused] = self.calls(x, labels, shots=shots, reuse_qubits=True)
        return reused if reuses_qubits(fresh, reused, device) else fresh

    @torch.no_grad()
    def run(
        self,
        target: CallTarget,
        x: Tensor,
        labels: Tensor | None = None,
        *,
        shots: int | None,
        rng: np.random.Generator,
        reuse_qubits: bool = False,
    ) -> ChainResult:
        """Walk from x_T to x_0 in one job.

        Args:
            target: The target that answers the calls.
            x: ``(batch, ...)`` complex: x_T.
            labels: ``(batch,)`` of guided models.
            shots: As for :meth:`calls`.
            rng: Draws the histories.
            reuse_qubits: As for :meth:`calls`.

        Returns:
            x_0 and the shares.

        Raises:
            InvalidData: If an image would keep less than one of its shots, before anything is sent;
                if none of its shots passed; or if none of its histories has shots in every setting.
        """
        predicted = self.checked(x, labels, shots)
        calls = self.calls(x, labels, shots=shots, reuse_qubits=reuse_qubits)
        [result] = target.answer(calls)
        return self.read(result, x, shots, predicted, rng)

    def checked(self, x: Tensor, labels: Tensor | None, shots: int | None) -> np.ndarray:
        """Return the expected share of shots, as :meth:`expected_share`.

        Raises:
            InvalidData: If an image would keep less than one of its shots.
        """
        expected = self.expected_share(x, labels)
        self.check_kept(expected, shots)
        return expected

    def check_kept(self, kept: np.ndarray, shots: int | None) -> None:
        """Refuse shots of which less than one of an image would be kept in the whole job.

        Args:
            kept: ``(batch,)``, from :meth:`expected_share`.
            shots: Shots of each image, and of each setting where states are estimated; None is
                exact.

        Raises:
            InvalidData: With the image that keeps least, and the shots that it would need.
        """
        reason = self.too_few_kept(kept, shots)
        if reason:
            least = float(np.min(kept))
            needed = f"{int(np.ceil(1 / least)):,}" if least > 1e-15 else "any number"
            raise InvalidData(
                f"{reason}; raise shots above {needed}, or run it step by step with chain='steps'."
            )

    def too_few_kept(self, kept: np.ndarray, shots: int | None) -> str:
        """Return why one circuit does not do, as it keeps less than one shot; empty if it does.

        Args:
            kept, shots: As for :meth:`check_kept`.
        """
        worst = int(np.argmin(kept))
        if shots is None or shots * kept[worst] >= 1:
            return ""
        who, where = "The projections of the chain keep", f"of the shots of image {worst}"
        if self.tells_states:
            who, where = "A drawn history of the chain has", f"{where} in the mean"
        return (
            f"{who} {kept[worst]:.3g} {where}: {shots * kept[worst]:.2g} of its {shots:,} in the "
            "whole job, less than one"
        )

    def read(
        self,
        result: CallResult,
        x: Tensor,
        shots: int | None,
        predicted: np.ndarray | None,
        rng: np.random.Generator,
        histories: np.ndarray | None = None,
    ) -> ChainResult:
        """Return x_0 from the answer to the call of :meth:`calls`.

        Args:
            result: The answer.
            x: ``(batch, ...)``: x_T.
            shots: As for :meth:`calls`.
            predicted: From :meth:`checked`.
            rng: Draws the histories.
            histories: ``(batch,)`` histories in place of drawn ones; those that have no share in the
                answer are drawn all the same.

        Raises:
            InvalidData: If no shot of an image passed its projections, or none of its histories has
                shots in every setting.
        """
        outputs = np.maximum(result.outputs, 0.0)  # mitigated quasi-probabilities may be negative
        if self.tells_states:
            return self._drawn(outputs, x, shots, predicted, rng, histories)
        kept = outputs.sum(axis=1)
        if (kept <= 0).any():
            raise InvalidData(
                f"No shot of image {int(np.argmax(kept <= 0))} passed all projections of its chain; "
                f"raise shots above {shots}."
            )
        moduli = np.sqrt(outputs if self.keeps_norm else outputs / kept[:, None])
        states = torch.from_numpy(moduli).reshape(x.shape)
        if self.keeps_norm:
            norms = torch.linalg.vector_norm(x.flatten(1), dim=1).double()
            states = states * norms.reshape(-1, *[1] * (x.ndim - 1))
        return ChainResult(states.to(x), kept, predicted)

    def _drawn(
        self,
        outputs: np.ndarray,
        x: Tensor,
        shots: int | None,
        predicted: np.ndarray | None,
        rng: np.random.Generator,
        histories: np.ndarray | None,
    ) -> ChainResult:
        """Draw one history of each image, and return it with its state."""
        size = self.spec.num_amplitudes
        settings = len(tomography_settings(len(self.spec.data_qubits)))
        joint = outputs.reshape(len(x), settings, -1, size)
        shares = joint[:, 0].sum(axis=2)  # of each history, in the basis of the data
        total = shares.sum(axis=1, keepdims=True)
        if (total <= 0).any():
            raise InvalidData(
                f"No shot of image {int(np.argmax(total <= 0))} passed all projections of its chain; "
                f"raise shots above {shots}."
            )
        drawn = np.array([rng.choice(shares.shape[1], p=each) for each in shares / total])
        # Half a shot: mitigated shares are no whole ones.
        told = (joint.sum(axis=3) > (0.0 if shots is None else 0.5 / shots)).all(axis=1)
        for row in np.flatnonzero(~told[np.arange(len(x)), drawn]):
            if not told[row].any():
                raise InvalidData(
                    f"Each history of image {row} has no shot in one of its {settings} settings, so "
                    f"its state cannot be told; raise shots above {shots}."
                )
            weights = np.where(told[row], shares[row], 0.0)
            drawn[row] = rng.choice(len(weights), p=weights / weights.sum())
        if histories is not None:
            known = shares[np.arange(len(x)), histories] > 0
            drawn = np.where(known, histories, drawn)
        own = joint[np.arange(len(x)), :, drawn]
        kept = own.sum(axis=2)
        states = estimate_states(own, kept if shots is None else shots * kept)
        return ChainResult(
            torch.from_numpy(states).reshape(x.shape).to(x),
            kept.mean(axis=1),
            predicted,
            drawn,
            np.asarray((shares * told).sum(axis=1) / total[:, 0]),
        )

    def _inputs(self, labels: Tensor | None, batch: int) -> Tensor | None:
        inputs = self.model.chain_inputs(labels, batch)
        return None if inputs is None else inputs.detach().double().cpu()


def _recorded(spec: CircuitSpec) -> tuple[int, ...]:
    assert isinstance(spec.readout, ProbabilityReadout)
    return spec.readout.qubits[len(spec.data_qubits) :]


def _unit(x: Tensor) -> Tensor:
    flat = x.detach().cpu().to(torch.complex128).flatten(1)
    return flat / torch.linalg.vector_norm(flat, dim=1, keepdim=True)
