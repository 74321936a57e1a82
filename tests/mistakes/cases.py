"""Mistakes of people, as they are typed. docs/mistakes.md has the message that each gets."""

from __future__ import annotations

__all__ = ["COMMANDS", "PYTHON", "SET_UP"]

SET_UP = """\
from pathlib import Path
import numpy as np, torch
import qdm_qiskit as qdm
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qdm_qiskit.circuits import register_spec
from qdm_qiskit.engine import EngineSampler
from qdm_qiskit.evaluation import AccumulatedMetric, measure_images
from qdm_qiskit.sampling import DDIM
from qdm_qiskit.training import BestCheckpoint, EarlyStopping

circuit = QuantumCircuit(1)
circuit.ry(Parameter("x_0000"), 0)
circuit.rz(Parameter("w_0000"), 0)
program = qdm.compile_circuit(circuit, [circuit.parameters[1]], [circuit.parameters[0]])
t = ParameterVector("t", 2)
turned = QuantumCircuit(1)
turned.ry(t[0] + t[1], 0)
images = np.zeros((4, 1, 8, 8))
"""
"""What the lines below begin with."""

PYTHON = (
    'qdm.compile_circuit("eeqdm")',
    "qdm.compile_circuit(QuantumCircuit)",
    "qdm.compile_circuit(circuit, circuit.parameters[0])",
    'qdm.compile_circuit(circuit, ["x_0000"])',
    'qdm.compile_circuit(turned, ParameterVector("t", 2))',
    "program.statevector(np.zeros((3, 1)), torch.zeros(1))",
    "program.statevector(torch.zeros(3, 1), [0.1])",
    'program.expectation(["Z"], torch.zeros(3, 1), torch.zeros(1))',
    'program.expectation(SparsePauliOp("Z"), torch.zeros(3, 1), torch.zeros(1))',
    "qdm.QuantumLayer(circuit)",
    'register_spec("eeqdm", source="mine")',
    "register_spec(circuit, source=3)",
    'EngineSampler(seed="seven")',
    'qdm.compile_noisy(circuit, "fake_torino")',
    'qdm.load_backend("fake_torinio")',
    'qdm.make_runner("noisy:fake_torin", seed=0)',
    "qdm.make_runner(circuit, seed=0)",
    'qdm.train("eqdm", "new")',
    'qdm.train("eeqdm", "new", dept=3)',
    'qdm.train("eeqdm", "new", depth=2.5)',
    'qdm.train("eeqdm", "new", dataset="digit")',
    'qdm.train("eeqdm", None)',
    'qdm.train(circuit, "new")',
    'qdm.train("eeqdm", "new", callbacks=[print])',
    'qdm.train("eeqdm", "new", callbacks=[EarlyStopping("tset_loss")])',
    'qdm.train("eeqdm", "new", callbacks=EarlyStopping())',
    'BestCheckpoint("test_loss", better="less")',
    'qdm.continue_training("nowhere")',
    'qdm.load_run("nowhere")',
    "qdm.load_run(3)",
    'qdm.sample("nowhere", shots=0)',
    'qdm.sample("nowhere", scheduler=DDIM())',
    'qdm.load_dataset("digit", image_size=8)',
    'measure_images(images, images[:, :, :4], ["psnr"])',
    'measure_images(images, images, ["psnt"])',
    'measure_images(images, images, "psnr")',
    'AccumulatedMetric("psnr").update([[0.5]])',
    'AccumulatedMetric("kid")',
    'qdm.parse_target("engin")',
    'qdm.parse_target("fake_torino")',
    'qdm.load_backend("ibm_marakesh")',
    'qdm.QDMPipeline("runs/first")',
    "qdm.QDMPipeline.from_pretrained(3)",
    "program.expectation([], torch.zeros(3, 1), torch.zeros(1))",
    "qdm.QuantumLayer(qdm.circuits.eeqdm(num_data=2, depth=1))(torch.ones(3, 4, dtype=torch.int64))",
    'qdm.evaluate("nowhere", samples=3)',
    'qdm.resolve_run("eeqdm", ["depth=2"])',
    'qdm.train("eeqdm", "new", progress=3)',
    'qdm.train("eeqdm", "new", log_with=3)',
    "qdm.evaluate(data=3)",
    'qdm.evaluate("nowhere", formats="svg")',
    'DDIM(eta="half")',
    "DDIM(eta=1.5)",
    'AccumulatedMetric("psnr").update(images, real="yes")',
)
"""Statements; each raises an error of :mod:`qdm_qiskit.errors`."""

COMMANDS = (
    "trian --model eeqdm --out new",
    "train --model eeqdm",
    "train --out new",
    "train --model eqdm --out new",
    "train --preset digits-dmo --out new",
    "train --model eeqdm --set dept=3 --out new",
    "train --model eeqdm --set depth --out new",
    "train --model eeqdm --set depth=2.5 --out new",
    "train --model eeqdm --set depth=1 --set depth=2 --out new",
    "train --model eeqdm --set image_size=12 --out new",
    "train --model eeqdm --set learning_rate=nan --out new",
    "train --model eeqdm --set guided=perhaps --out new",
    "train --model eeqdm --epochs many --out new",
    "train --model eeqdm --epoch 3 --out new",
    "train --model eeqdm --image-size 8 --out new",
    "train eeqdm --out new",
    "train --model eeqdm --epochs 0 --out new",
    "train --model eeqdm --patience 0 --out new",
    "train --model eeqdm --dataset digit --out new",
    "train --model eeqdm --dataset npz:nowhere.npz --out new",
    "train --model eeqdm --train-on ibm:ibm_torino --out new",
    "train --model eeqdm --config nowhere.yaml --out new",
    "train --model eeqdm --data here --out new",
    "train --resume latest --out nowhere",
    "train --resume latest --set depth=2 --out nowhere",
    "sample nowhere --out new",
    "sample nowhere",
    "devices show ibm_marakesh",
    "devices remove mine",
    "sample nowhere --shot 3 --out new",
    "models describe qdm",
    "devices show fake_torinio",
    "report transpile eeqdm --backend FakeTorin --out new",
    "compare eeqdm --format png --out new",
    "evaluate nowhere --out new",
    "export nowhere",
    "run submit nowhere --yes",
    "run replay nowhere",
    "reproduce no-such-card",
)
"""Arguments of `qdm`; each ends with exit code 2 and one line."""
