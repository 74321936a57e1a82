"""Does noise from circuits change the samples of a model?

A model is trained once. For each seed it samples with the pseudo-random generator and with each source;
x_T and the noise of every step come from it. Two numbers a source, means over seeds with 95 %
intervals by Student's t:

- *quality*: KID of the samples beside the test images, less that of the generator's own samples of the
  same seed (different noise: the seed only pairs them);
- *apart*: unbiased squared MMD with KID's cubic kernel on pixels, between the source's samples and the
  generator's samples of another seed. Two sets of the generator are the first row: 0 is what equal
  distributions give.

Bits are judged too: min-entropy of a byte by the most common value (NIST SP 800-90B), and the
p-value of the chi-squared test. On a simulator all outcomes are drawn by a pseudo-random generator,
so nothing else than equality is to be expected.

    python benchmarks/noise_sources.py [--seeds 12] [--images 256] [--json FILE]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from seeds import interval

from qdm_qiskit.evaluation.distances import kernel_distance
from qdm_qiskit.noise_sources import find_source
from qdm_qiskit.noise_sources.estimates import most_common_value, uniformity
from qdm_qiskit.sampling import SamplingConfig, TrainedRun, load_run, sample
from qdm_qiskit.training import load_split, resolve_run, train

SOURCES = ("hadamard", "hadamard:fake_torino", "haar", "walk", "walk:12,0.3")
BITS = 2**20


def samples(run: TrainedRun, images: int, seed: int, source: str | None) -> np.ndarray:
    config = SamplingConfig(num_images=images, seed=seed, noise_source=source)
    return sample(run, config).images.reshape(images, -1).astype(float)


def judged_bits(name: str) -> dict[str, float]:
    source, rng = find_source(name), np.random.default_rng(0)
    start = time.process_time()
    bits = source.bits(BITS, rng)
    taken = time.process_time() - start
    return {
        "min_entropy_of_a_byte": most_common_value(np.packbits(bits)),
        "p_of_bytes": uniformity(bits, 8),
        "nanoseconds_a_bit": 1e9 * taken / BITS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", nargs="+", default=list(SOURCES))
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    machine.one_thread()
    with tempfile.TemporaryDirectory() as folder:
        options = {"epochs": given.epochs, "baseline": False, "sample_every": 0}
        train(resolve_run("digits-demo", options), Path(folder) / "run")
        run = load_run(Path(folder) / "run")
        test = load_split(run.config).test.images
        test = np.asarray(test).reshape(len(test), -1).astype(float)
        count = given.seeds
        plain = [samples(run, given.images, seed, None) for seed in range(2 * count)]
        base, other = plain[:count], plain[count:]
        quality = [kernel_distance(each, test) for each in base]
        rows: dict[str, Any] = {
            "generator": {
                "quality": interval(
                    [kernel_distance(b, test) - q for b, q in zip(other, quality, strict=True)]
                ),
                "apart": interval(
                    [kernel_distance(a, b) for a, b in zip(base, other, strict=True)]
                ),
            }
        }
        for name in given.source:
            made = [samples(run, given.images, seed, name) for seed in range(count)]
            rows[name] = {
                "quality": interval(
                    [kernel_distance(m, test) - q for m, q in zip(made, quality, strict=True)]
                ),
                "apart": interval(
                    [kernel_distance(m, b) for m, b in zip(made, other, strict=True)]
                ),
                **judged_bits(name),
            }
    print(f"KID of the generator's samples: {np.mean(quality):.5f}")
    for name, row in rows.items():
        words = [
            f"{what} {row[what]['mean']:+.5f} [{row[what]['low']:+.5f}, {row[what]['high']:+.5f}]"
            for what in ("quality", "apart")
        ]
        if "p_of_bytes" in row:
            words.append(
                f"H {row['min_entropy_of_a_byte']:.3f}  p {row['p_of_bytes']:.3f}  "
                f"{row['nanoseconds_a_bit']:.0f} ns a bit"
            )
        print(f"{name:<22}", "  ".join(words))
    if given.json:
        record = {
            "date": date.today().isoformat(),
            "machine": machine.describe(),
            "options": {key: value for key, value in vars(given).items() if key != "json"},
            "kid_of_the_generator": float(np.mean(quality)),
            "rows": rows,
        }
        given.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
