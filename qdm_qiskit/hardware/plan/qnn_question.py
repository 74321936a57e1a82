"""A QNN's question as files beside a plan: circuit, readout, values and table of outputs.

No object of the QNN is kept: whoever holds the folder can send the run, go on with it and replay it.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from ...archives import Headers, read_arrays
from ...canonical_json import canonical_json
from ...circuits.readouts import ExpectationReadout, ProbabilityReadout
from ...circuits.saved import circuit_from_text, circuit_text
from ...circuits.spec import CircuitSpec
from ...errors import InvalidData, InvalidPlan
from ...execution.calls import CircuitCall
from ...files import parse_json
from .planned_files import checked_bytes
from .run_plan import INPUTS, QNN, RunPlan

if TYPE_CHECKING:
    from ...layers.qnn_outputs import OutputTable

__all__ = ["NAME", "QnnQuestion", "read_question"]

SCHEMA = "qdm-qnn/1"
NAME = "qnn"
"""Name of the call, its address in the run."""


@dataclass(frozen=True, eq=False, kw_only=True)
class QnnQuestion:
    """All values of a QNN for its inputs: one circuit call."""

    kind: Literal["EstimatorQNN", "SamplerQNN"]
    spec: CircuitSpec
    """The circuit, canonical, with its readout."""
    weights: np.ndarray
    """``(num_weights,)`` float64, in radians."""
    inputs: np.ndarray | None
    """``(rows, num_inputs)`` float64, in radians; None of a QNN without inputs."""
    rows_shape: tuple[int, ...]
    """Leading axes of the outputs, as ``QNN.forward`` gives them."""
    output_shape: tuple[int, ...]
    """Shape of the output of one row."""
    places: np.ndarray | None
    """Place of each outcome in the flat output, -1 of dropped ones; None of expectation values."""

    @property
    def rows(self) -> int:
        """Number of rows of inputs; 1 without inputs."""
        return 1 if self.inputs is None else len(self.inputs)

    @property
    def table(self) -> OutputTable:
        """Table of the output that each outcome adds to."""
        from ...layers.qnn_outputs import OutputTable

        return OutputTable(spec=self.spec, places=self.places, shape=self.output_shape)

    def call(self, shots: int | None) -> CircuitCall:
        """Return the call that answers it.

        Raises:
            InvalidData: If a value is not finite.
        """
        return CircuitCall(
            name=NAME, spec=self.spec, angles=self.weights, inputs=self.inputs, shots=shots
        )

    @cached_property
    def sha256(self) -> str:
        """Hash of what is asked, the same in every process: circuit, readout, values, outputs."""
        rows = () if self.inputs is None else self.inputs
        digest = hashlib.sha256(self.call(None).content.encode())
        digest.update(np.ascontiguousarray(rows, dtype="<f8").tobytes())
        digest.update(canonical_json([self.kind, self.rows_shape, self.output_shape]))
        digest.update(b"" if self.places is None else np.asarray(self.places, "<i8").tobytes())
        return digest.hexdigest()

    def files(self) -> dict[str, bytes]:
        """Return its files, by their path in the run's folder.

        Raises:
            InvalidOption: If the circuit is too large for a file.
        """
        content = {
            "schema": SCHEMA,
            "kind": self.kind,
            "circuit": circuit_text(self.spec.circuit),
            "readout": _readout_to_plain(self.spec),
            "rows_shape": self.rows_shape,
            "output_shape": self.output_shape,
            "places": None if self.places is None else self.places.tolist(),
        }
        arrays = {"weights": self.weights}
        if self.inputs is not None:
            arrays["inputs"] = self.inputs
        buffer = io.BytesIO()
        # numpy's annotations take a keyword for its option `allow_pickle`.
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        return {QNN: canonical_json(content), INPUTS: buffer.getvalue()}

    @classmethod
    def from_files(cls, contents: Mapping[str, bytes], rows: int | None = None) -> QnnQuestion:
        """Return the question that :meth:`files` wrote.

        Args:
            contents: The files.
            rows: Number of rows of inputs that were planned; arrays of other shapes than these and
                the circuit need are refused before they are unpacked. None takes the file's word.

        Raises:
            InvalidData, InvalidOption: If they hold something else.
        """
        whole = parse_json(contents[QNN])
        if not isinstance(whole, dict) or whole.get("schema") != SCHEMA:
            raise InvalidData(f"{QNN} is not of schema '{SCHEMA}'")
        circuit = circuit_from_text(str(whole["circuit"]))
        if whole["kind"] not in ("EstimatorQNN", "SamplerQNN"):
            raise InvalidData(f"its kind is {whole['kind']!r:.40}")
        places = whole["places"]
        spec = CircuitSpec(
            name=NAME,
            circuit=circuit,
            encoding="angle",
            data_qubits=tuple(range(circuit.num_qubits)),
            readout=_readout_from_plain(whole["readout"]),
            source="a QNN of qiskit-machine-learning",
        )
        rows_shape = tuple(int(each) for each in whole["rows_shape"])
        if rows not in (None, math.prod(rows_shape)):
            raise InvalidData(f"its rows have the shape {rows_shape}, {rows} were planned")
        shapes = {
            "weights": (len(spec.weights),),
            "inputs": (math.prod(rows_shape), len(spec.inputs)),
        }
        arrays = read_arrays(contents[INPUTS], check=partial(_check_headers, shapes))
        found = cls(
            kind=whole["kind"],
            spec=spec,
            weights=_finite(arrays["weights"], "weights"),
            inputs=_finite(arrays["inputs"], "inputs") if "inputs" in arrays else None,
            rows_shape=rows_shape,
            output_shape=tuple(int(each) for each in whole["output_shape"]),
            places=None if places is None else np.array(places, dtype=np.int64),
        )
        found._check()
        return found

    def _check(self) -> None:
        outcomes, count = self.spec.readout.num_outputs, int(np.prod(self.output_shape))
        expected = isinstance(self.spec.readout, ExpectationReadout)
        if expected != (self.kind == "EstimatorQNN") or expected != (self.places is None):
            raise InvalidData(f"its readout is not that of a {self.kind}")
        given = 0 if self.inputs is None else self.inputs.shape[1]
        if given != len(self.spec.inputs) or self.rows != int(np.prod(self.rows_shape)):
            raise InvalidData("its inputs do not fit its circuit or its rows")
        if self.places is None:
            fits = outcomes == count
        else:
            inside = bool(((self.places >= -1) & (self.places < count)).all())
            fits = self.places.shape == (outcomes,) and inside
        if not fits:
            raise InvalidData("its outputs do not fit its readout")
        self.call(None)


def read_question(plan: RunPlan) -> QnnQuestion:
    """Read the question of a plan.

    Raises:
        InvalidPlan: If a file is missing, changed, or not what the plan says.
    """
    contents = {name: checked_bytes(plan, name) for name in (QNN, INPUTS)}
    try:
        found = QnnQuestion.from_files(contents, plan.num_images)
        said = plan.qnn
        if said is None or (found.sha256, found.rows) != (said.question_sha256, plan.num_images):
            raise InvalidData("it is not the question that was planned")
    except Exception as error:  # Qiskit has no error of its own for every text that is no Pauli
        reason = " ".join(str(error).split())[:300]
        raise InvalidPlan(
            f"The QNN of run {plan.run_id} cannot be read ({reason}); plan again."
        ) from error
    return found


def _readout_to_plain(spec: CircuitSpec) -> dict[str, Any]:
    readout = spec.readout
    if isinstance(readout, ExpectationReadout):
        sums = [
            [[label, float(c.real)] for label, c in each.to_list()] for each in readout.observables
        ]
        return {"observables": sums}
    return {"qubits": readout.qubits}


def _readout_from_plain(plain: Any) -> ExpectationReadout | ProbabilityReadout:
    if set(plain) == {"qubits"}:
        return ProbabilityReadout(qubits=tuple(int(each) for each in plain["qubits"]))
    return ExpectationReadout(
        observables=tuple(
            SparsePauliOp([label for label, _ in each], [float(c) for _, c in each])
            for each in plain["observables"]
        )
    )


def _check_headers(shapes: Mapping[str, tuple[int, ...]], headers: Headers) -> None:
    """Refuse other values than a question has, before they are unpacked."""
    for name, each in headers.items():
        if name not in shapes or each.shape != shapes[name] or each.dtype != np.float64:
            raise InvalidData(f"its {name} have the shape {each.shape} and type {each.dtype}")


def _finite(array: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(array).all():
        raise InvalidData(f"its {name} are not finite")
    return array
