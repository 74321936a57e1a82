"""How many noisy images a second do workers sample, and does the result depend on how many there are?

Usage: python benchmarks/workers.py [--images 1000] [--ways here,1,2,dask:2] [--out FILE]

Images of the preset digits-demo (8 x 8, 7 qubits, ten steps) through the noise of fake_torino, 1,024
shots a step, in blocks of 256: in this process, by processes of the standard library, and by Dask's on
this machine. The run is trained for three epochs only: what an image costs does not depend on its
weights. Seconds are from the call to the written samples, with the start of all processes; processor
seconds are those of this process and its workers. A second call with the same file adds to it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qdm_qiskit.files import read_json_object, write_json
from qdm_qiskit.tasks import sample, train

TARGET, SHOTS, BLOCK, EPOCHS = "noisy:fake_torino", 1024, 256, 3


def workers_of(way: str) -> dict[str, Any]:
    """Return the options of :func:`qdm_qiskit.sample` that a way stands for."""
    if way == "here":
        return {}
    if way.startswith("dask:"):
        return {"dask": "local", "workers": int(way.removeprefix("dask:"))}
    return {"workers": int(way)}


def processor_seconds() -> float:
    """Return those of this process and of its children that have ended."""
    usages = [resource.getrusage(each) for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usages)


def measured(run: Path, images: int, way: str) -> dict[str, Any]:
    """Sample in a way, and return how long it took and the hash of its images."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        load, clock, spent = os.getloadavg()[0], time.perf_counter(), processor_seconds()
        sample(run, TARGET, num_images=images, shots=SHOTS, block=BLOCK, out=out, **workers_of(way))
        seconds, spent = time.perf_counter() - clock, processor_seconds() - spent
        with np.load(out / "samples.npz") as arrays:
            digest = hashlib.sha256(arrays["images"].tobytes() + arrays["trajectory"].tobytes())
    return {
        "images": images,
        "way": way,
        "seconds": seconds,
        "processor_seconds": spent,
        "load_before": load,
        "sha256": digest.hexdigest(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--ways", default="here,1,2,dask:2")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/workers.json"))
    words = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    content = read_json_object(words.out) if words.out.is_file() else {"rows": []}
    content |= {
        "target": TARGET,
        "shots": SHOTS,
        "block": BLOCK,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train("digits-demo", run, epochs=EPOCHS, baseline=False, sample_every=0)
        for way in words.ways.split(","):
            row = measured(run, words.images, way)
            others = [r for r in content["rows"] if (r["images"], r["way"]) != (row["images"], way)]
            content["rows"] = [*others, row]
            write_json(words.out, content)
            print(
                f"{row['images']} images, {way}: {row['seconds']:.1f} s, "
                f"{row['images'] / row['seconds']:.1f} a second, {row['processor_seconds']:.1f} "
                f"processor seconds, {row['sha256'][:12]}",
                flush=True,
            )
    for images in {row["images"] for row in content["rows"]}:
        digests = {row["sha256"] for row in content["rows"] if row["images"] == images}
        assert len(digests) == 1, f"{images} images depend on who sampled them"


if __name__ == "__main__":
    main()
