"""How do gradients of the hardware-efficient ansatz vanish with qubits, and what saves them?

    python benchmarks/barren_plateau.py [--samples N] [--sizes 2,3,...] [--out FILE.png]

Global and local cost, at a depth of n layers and of 2. Writes the picture of docs/analysis.md and
prints the fits and the points.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from qdm_qiskit.analysis import GradientScan, gradient_scan
from qdm_qiskit.analysis.pictures import scan_picture
from qdm_qiskit.circuits import hardware_efficient
from qdm_qiskit.files import write_bytes
from qdm_qiskit.rng import stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--sizes", default="2,3,4,5,6,7,8,9,10,11,12")
    parser.add_argument("--out", type=Path, default=Path("docs/images/barren-plateau.png"))
    options = parser.parse_args()
    sizes = [int(each) for each in options.sizes.split(",")]
    scans = {}
    for k, (layers, depth) in enumerate((("n", None), ("2", 2))):
        circuits = [hardware_efficient(n, depth or n) for n in sizes]
        for j, cost in enumerate(("global", "local")):
            start = time.perf_counter()
            rng = stream(0, "evaluation", k, j)
            scan = gradient_scan(circuits, cost, samples=options.samples, generator=rng)
            scans[f"{cost} cost, {layers} layers"] = scan
            line, power = scan.exponential(), scan.power_law()
            print(f"{cost} cost, {layers} layers, {time.perf_counter() - start:.0f} s")
            print(f"  exponential {line}")
            print(f"  power law   {power}")
            if len(sizes) > 6:
                last = slice(len(sizes) - 6, None)
                tail = GradientScan(scan.qubits[last], scan.variances[last])
                print(f"  exponential, last six sizes {tail.exponential()}")
                print(f"  power law, last six sizes   {tail.power_law()}")
            for n, found, limit in zip(sizes, scan.variances, scan.deep_limits, strict=True):
                print(f"  {n:2} qubits  {found}  deep limit {limit:.4g}", flush=True)
    write_bytes(
        options.out, scan_picture(scans, "Hardware-efficient ansatz (RY, RZ, line of CNOTs)")
    )


if __name__ == "__main__":
    main()
