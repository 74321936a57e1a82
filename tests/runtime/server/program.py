"""The programs that jobs name: `executor` (schema v2.0) and the older `sampler`.

A payload is read and its result written with the client's own models. Identity and seed of a
payload come from what is measured (circuits by instruction, angles, shots, options), not from
names, unique ids or metadata: the same work has the same counts whoever sends it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass

import numpy as np
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor.version_2_0 import (
    ChunkPart,
    ChunkSpan,
    ItemMetadataModel,
    MetadataModel,
    ParamsModel,
    QuantumProgramResultItemModel,
    QuantumProgramResultModel,
)
from qiskit import QuantumCircuit
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder
from qiskit_ibm_runtime.fake_provider.executor.broadcast_sample import broadcast_sample
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from samplomatic.quantum_program import CircuitItem, SamplexItem

from .device import Device


class BadPayload(ValueError):
    """The body of a POST is not a program that can run; becomes a 400."""


@dataclass(frozen=True)
class Item:
    """One circuit with the angles of each of its executions."""

    circuit: QuantumCircuit
    angles: np.ndarray
    """(executions, parameters), in the order of `circuit.parameters`."""
    shape: tuple[int, ...]
    """The executions' shape in the result."""
    extra: dict[str, np.ndarray]
    """What a samplex adds to the result (the flips of a twirled measurement)."""


@dataclass(frozen=True)
class Payload:
    """A job's work."""

    program: str
    items: tuple[Item, ...]
    shots: int
    sha256: str
    source: ParamsModel | None
    """The executor's parameters, for what the result passes through."""

    @property
    def seed(self) -> int:
        return int(self.sha256[:7], 16)

    def seed_of(self, item: int) -> np.random.SeedSequence:
        """Of one item's shots: no other item, or group of qubits, draws from the same."""
        return np.random.SeedSequence([self.seed, item])

    @property
    def rep_delay(self) -> float | None:
        """Seconds between shots, if the job sets them."""
        return None if self.source is None else self.source.options.rep_delay

    def work(self, device: Device) -> list[tuple[int, float]]:
        """Executions and circuit seconds of each item."""
        return [(len(item.angles), device.duration_seconds(item.circuit)) for item in self.items]


def read_payload(program: str, params: dict[str, object]) -> Payload:
    """Read a job's parameters.

    Raises:
        BadPayload: If they cannot run here.
    """
    try:
        if program == "executor":
            return _read_executor(params)
        if program == "sampler":
            return _read_sampler(params)
    except BadPayload:
        raise
    except Exception as wrong:
        raise BadPayload(f"{type(wrong).__name__}: {wrong}") from wrong
    raise BadPayload(f"no program {program!r} here")


def _read_executor(params: dict[str, object]) -> Payload:
    source = ParamsModel.model_validate(params)
    program, _ = QUANTUM_PROGRAM_PARAMS_CONVERTERS["v2.0"].decoder(source)
    if program.meas_level != "classified":
        raise BadPayload(f"only classified measurements, got {program.meas_level}")
    digest = _start(program.shots)
    for item in program.items:
        _add_circuit(digest, item.circuit)
        if isinstance(item, SamplexItem):
            for name, value in sorted(item.samplex_arguments.items()):
                digest.update(name.encode())
                digest.update(
                    np.asarray(value).tobytes() if _is_array(value) else str(value).encode()
                )
            digest.update(str(tuple(item.shape)).encode())
        else:
            _add_array(digest, item.circuit_arguments)
    sha256 = digest.hexdigest()
    rng = np.random.default_rng(int(sha256[:15], 16))
    items = []
    for item in program.items:
        extra: dict[str, np.ndarray] = {}
        if isinstance(item, CircuitItem):
            angles = np.asarray(item.circuit_arguments, dtype=float)
        else:
            item.samplex.finalize()
            extra = broadcast_sample(item.samplex, item.samplex_arguments, item.shape, rng)
            angles = extra.pop("parameter_values")
        items.append(_item(item.circuit, angles, extra))
    return Payload("executor", tuple(items), program.shots, sha256, source)


def _read_sampler(params: dict[str, object]) -> Payload:
    decoded = json.loads(json.dumps(params), cls=RuntimeDecoder)
    pubs = [SamplerPub.coerce(tuple(each)) for each in decoded["pubs"]]
    default = decoded.get("options", {}).get("default_shots") or 4096
    shots = {pub.shots or default for pub in pubs}
    if len(shots) != 1:
        raise BadPayload("only PUBs with one count of shots")
    digest = _start(min(shots))
    items = []
    for pub in pubs:
        _add_circuit(digest, pub.circuit)
        angles = pub.parameter_values.as_array(pub.circuit.parameters)
        _add_array(digest, angles)
        items.append(_item(pub.circuit, angles, {}))
    return Payload("sampler", tuple(items), min(shots), digest.hexdigest(), None)


def _item(circuit: QuantumCircuit, angles: np.ndarray, extra: dict[str, np.ndarray]) -> Item:
    flat = angles.reshape(-1, circuit.num_parameters) if angles.size else angles
    if circuit.num_parameters == 0:
        shape = angles.shape[:-1]
        flat = np.zeros((int(np.prod(shape, dtype=int)), 0))
    else:
        shape = angles.shape[:-1]
    if not np.isfinite(flat).all():
        raise BadPayload("angles must be finite")
    return Item(circuit, flat, tuple(shape), extra)


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray | float | int | bool)


def _start(shots: int):
    return hashlib.sha256(f"shots {shots}".encode())


def _add_array(digest, array: np.ndarray) -> None:
    values = np.ascontiguousarray(array, dtype=np.float64)
    digest.update(str(values.shape).encode())
    digest.update(values.tobytes())


def _add_circuit(digest, circuit: QuantumCircuit) -> None:
    """Hash registers and instructions; parameters by their place in `circuit.parameters`."""
    qubit = {each: i for i, each in enumerate(circuit.qubits)}
    clbit = {each: i for i, each in enumerate(circuit.clbits)}
    place = {each.name: f"p{i}" for i, each in enumerate(circuit.parameters)}

    def angle(value: object) -> str:
        if hasattr(value, "parameters"):
            names = sorted(each.name for each in value.parameters)
            return f"{value}|{[place.get(name, name) for name in names]}"
        return repr(value)

    digest.update(
        f"{circuit.num_qubits} {float(circuit.global_phase)!r}".encode()
        if not hasattr(circuit.global_phase, "parameters")
        else f"{circuit.num_qubits} {angle(circuit.global_phase)}".encode()
    )
    for register in circuit.cregs:
        digest.update(f"{register.name} {[clbit[each] for each in register]}".encode())
    for each in circuit.data:
        operation = each.operation
        digest.update(
            f"{operation.name} {[angle(value) for value in operation.params]} "
            f"{[qubit[one] for one in each.qubits]} {[clbit[one] for one in each.clbits]}".encode()
        )


def run_payload(
    payload: Payload, device: Device, noisy: bool, mock: bool, recall: bool = False
) -> str:
    """Run the circuits; the text of GET /jobs/{id}/results.

    `mock`: random bits instead of a simulation, as a dry run gives. `recall`: the bits of the same
    work are simulated once in the life of the device, for they would be the same each time.
    """
    started = datetime.datetime.now(datetime.UTC)
    key = (payload.sha256, noisy, mock)
    measured = device.measured.get(key) if recall else None
    if measured is None:
        measured = _measure(payload, device, noisy, mock)
        if recall:
            device.measured[key] = measured
    ended = datetime.datetime.now(datetime.UTC)
    if payload.program == "sampler":
        return _sampler_result(payload, measured)
    return _executor_result(payload, measured, started, ended)


def _measure(
    payload: Payload, device: Device, noisy: bool, mock: bool
) -> list[dict[str, np.ndarray]]:
    """The bits of each register, item by item."""
    measured: list[dict[str, np.ndarray]] = []
    for number, item in enumerate(payload.items):
        if mock:
            rng = np.random.default_rng(payload.seed_of(number))
            size = (len(item.angles), payload.shots, item.circuit.num_clbits)
            bits = rng.integers(0, 2, size=size).astype(bool)
        else:
            bound = [
                item.circuit.assign_parameters(row) if len(row) else item.circuit
                for row in item.angles
            ]
            bits = np.array(device.sample(bound, payload.shots, payload.seed_of(number), noisy))
        place = {each: i for i, each in enumerate(item.circuit.clbits)}
        registers = {}
        for register in item.circuit.cregs:
            columns = bits[:, :, [place[each] for each in register]]
            registers[register.name] = columns.reshape(*item.shape, payload.shots, len(register))
        measured.append(registers)
    return measured


def _executor_result(
    payload: Payload,
    measured: list[dict[str, np.ndarray]],
    started: datetime.datetime,
    ended: datetime.datetime,
) -> str:
    assert payload.source is not None
    parts = [
        ChunkPart(
            idx_item=number,
            size=len(item.angles),
            permutation=list(range(len(item.shape))),
            element_range=(0, len(item.angles), 1),
        )
        for number, item in enumerate(payload.items)
    ]
    model = QuantumProgramResultModel(
        data=[
            QuantumProgramResultItemModel(
                results={
                    name: CompressedTensorModel.from_numpy(values)
                    for name, values in {**item.extra, **registers}.items()
                },
                metadata=ItemMetadataModel(),
            )
            for item, registers in zip(payload.items, measured, strict=True)
        ],
        metadata=MetadataModel(chunk_timing=[ChunkSpan(start=started, stop=ended, parts=parts)]),
        passthrough_data=payload.source.quantum_program.passthrough_data,
        semantic_role=payload.source.quantum_program.semantic_role,
    )
    return model.model_dump_json()


def _sampler_result(payload: Payload, measured: list[dict[str, np.ndarray]]) -> str:
    results = [
        SamplerPubResult(
            DataBin(
                **{
                    name: BitArray.from_bool_array(values, order="little")
                    for name, values in registers.items()
                },
                shape=item.shape,
            ),
            metadata={},
        )
        for item, registers in zip(payload.items, measured, strict=True)
    ]
    return json.dumps(PrimitiveResult(results, metadata={"version": 2}), cls=RuntimeEncoder)
