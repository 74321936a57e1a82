#!/usr/bin/env bash
# qiskit 2.6.2, BackendSamplerV2, and qiskit-aer 0.18.2, SamplerV2: registers whose bits do not lie side by side in the circuit.
#
# Guess:     data.a holds the bits of register a, as StatevectorSampler has it.
# Behaviour: only the place of a register's first bit is looked up; the rest of the register is read from the bits behind it in
#            the circuit, whoever they belong to. Nothing warns. It takes registers made from bits that the circuit has
#            already, such as ClassicalRegister(bits=...) of every second one.
# Output seen (bits 1 and 3 read 1; a holds bits 0 and 2, b holds bits 3 and 1):
#   StatevectorSampler: a 00, b 11
#   BackendSamplerV2: a 10, b 01
#   Aer's SamplerV2: a 10, b 01
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit==2.6.2 qiskit-aer==0.18.2
"$work/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit
from qiskit.primitives import BackendSamplerV2, StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator
from qiskit_aer.primitives import SamplerV2

print("qiskit", version("qiskit"), "qiskit-aer", version("qiskit-aer"))
bits = [Clbit() for _ in range(4)]
first = ClassicalRegister(name="a", bits=[bits[0], bits[2]])
second = ClassicalRegister(name="b", bits=[bits[3], bits[1]])
circuit = QuantumCircuit(QuantumRegister(4), bits, first, second)
circuit.x([1, 3])
circuit.measure(range(4), bits)


def read(name, sampler):
    """The outcome of each register, the same in all shots."""
    data = sampler.run([circuit], shots=5).result()[0].data
    found = tuple("/".join(each.get_counts()) for each in (data.a, data.b))
    print(f"{name}: a {found[0]}, b {found[1]}")
    return found


assert read("StatevectorSampler", StatevectorSampler()) == ("00", "11")
assert read("BackendSamplerV2", BackendSamplerV2(backend=BasicSimulator())) == ("10", "01")
assert read("Aer's SamplerV2", SamplerV2()) == ("10", "01")
PY
