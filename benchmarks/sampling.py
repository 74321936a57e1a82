"""How long does a step of the reverse chain take, beside an earlier build of this package?

    python benchmarks/sampling.py --before ../old-checkout [--target engine] [--shots 1024]
    python benchmarks/sampling.py --before ../old-checkout --target noisy:fake_torino

Both builds sample from one run of digits-demo, made by the earlier one, in turn: each in a process of
its own that stays, so that what a build keeps from one chain to the next counts for it. A build that
gives other images than the earlier one stops the run. Without --before there is one column.

On a noisy: target it is processor time that counts: of the steps and the preparation before them, in
a process that has imported the package, and of the whole command `qdm sample`. Builds may draw other
shots there; the distributions of the engine and of Aer are compared instead.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parents[1]
BAR = 5.0
"""A step with shots on the engine, digits-demo and 16 images, against version 0.1."""
NOISY_BARS = {"ten steps": 10.0, "whole command": 3.0}
"""On noisy:fake_torino, in processor time, against version 0.1."""
SAME = 1e-8
"""The engine's noisy distribution beside Aer's."""


class Build:
    """A checkout of the package, in a process that waits for chains to walk.

    Args:
        tree: The checkout.
    """

    def __init__(self, tree: Path) -> None:
        path = os.pathsep.join([str(tree), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self.environment = environment
        self._process = subprocess.Popen(  # noqa: S603 # this file, by the interpreter that runs it
            [sys.executable, __file__, "--worker"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        found = Path(self.ask({})["package"]).resolve().parents[1]
        if found != tree.resolve():
            raise SystemExit(f"{tree} holds no package; {found} was imported instead.")

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Send an order and wait for its result."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The process of a build has ended; its error stands above.")
        return dict(json.loads(line))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def worker() -> None:
    """Walk the chains that are asked for on standard input."""
    import qdm_qiskit

    print(json.dumps({"package": qdm_qiskit.__file__}), flush=True)
    sys.stdin.readline()
    run = None
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("train"):
            from qdm_qiskit.training import resolve_run, train

            train(resolve_run("digits-demo", {"epochs": 1, "seed": 0}), Path(order["run"]))
            print(json.dumps({}), flush=True)
            continue
        from qdm_qiskit.sampling import SamplingConfig, load_run, sample

        if run is None:
            run = load_run(Path(order["run"]))
        config = SamplingConfig(**order["config"])
        ends, used = [time.perf_counter()], [time.process_time()]

        def tick(step: int, x: object, ends: list[float] = ends, used: list[float] = used) -> None:
            ends.append(time.perf_counter())
            used.append(time.process_time())

        found = sample(run, config, on_step=tick)
        if order.get("compare"):
            print(json.dumps({"gap": gap(found.circuit, order["config"]["target"])}), flush=True)
            continue
        step_cpu = (used[-1] - used[1]) / (len(used) - 2)
        print(
            json.dumps(
                {
                    "steps_ms": [1e3 * (b - a) for a, b in itertools.pairwise(ends[1:])],
                    "start_ms": 1e3 * (ends[1] - ends[0]),
                    # What comes before the first step is not told apart from it by all builds.
                    "steps_cpu": step_cpu * (len(used) - 1),
                    "preparation_cpu": used[1] - used[0] - step_cpu,
                    "sha256": hashlib.sha256(found.trajectory.tobytes()).hexdigest(),
                }
            ),
            flush=True,
        )


def gap(circuit: Any, target: str) -> float:
    """The largest difference of a probability between the engine and Aer, over 16 random rows."""
    import numpy as np

    from qdm_qiskit.engine.noise.runners import runner_for

    rows = np.random.default_rng(0).uniform(-np.pi, np.pi, (16, circuit.num_parameters))
    runners: list[Any] = [runner_for(target, seed=0, simulator=s) for s in ("engine", "aer")]
    ours, aers = (each.exact_probabilities(circuit, rows) for each in runners)
    return float(np.abs(ours - aers).max())


def command_seconds(build: Build, run: str, options: argparse.Namespace, out: str) -> float:
    """Processor time of the whole command, imports and the end of the process included."""
    code = "import sys; from qdm_qiskit.cli.main import main; main(sys.argv[1:])"
    words = ["sample", run, "--target", options.target, "--shots", str(options.shots)]
    words += ["--num-images", str(options.images), "--out", out, "--quiet"]
    before = os.times()
    subprocess.run(  # noqa: S603 # the package's own command, by the interpreter that runs this
        [sys.executable, "-c", code, *words],
        env=build.environment,
        cwd=Path(out).parent,  # Python looks for packages where it stands first
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def noisy(builds: dict[str, Build], options: argparse.Namespace) -> int:
    """Compare builds on a noisy: target."""
    config = {"target": options.target, "num_images": options.images, "shots": options.shots}
    parts: dict[str, dict[str, list[float]]] = {name: {} for name in builds}
    with tempfile.TemporaryDirectory() as scratch:
        run = str(Path(scratch) / "digits-demo")
        next(iter(builds.values())).ask({"train": True, "run": run})
        for turn in range(options.rounds):
            for name, build in builds.items():
                found = build.ask({"run": run, "config": config})
                taken = {
                    "preparation": found["preparation_cpu"],
                    "ten steps": found["steps_cpu"],
                    "whole command": command_seconds(
                        build, run, options, str(Path(scratch) / f"{name}-{turn}")
                    ),
                }
                for part, seconds in taken.items():
                    parts[name].setdefault(part, []).append(seconds)
        difference = builds["now"].ask({"run": run, "config": config, "compare": True})["gap"]
    for build in builds.values():
        build.close()
    names = list(parts)
    print(f"| processor seconds, median of {options.rounds} | {' | '.join(names)} | ratio |")
    print("|---|" + "---:|" * (len(names) + 1))
    bad = difference > SAME
    for part in parts["now"]:
        middle = [median(parts[name][part]) for name in names]
        ratio = middle[0] / middle[-1]
        row = " | ".join(f"{each:.2f}" for each in middle)
        print(f"| {part} | {row} | {ratio:.1f} |", flush=True)
        bad |= options.before is not None and ratio < NOISY_BARS.get(part, 0.0)
    print(
        f"\nengine beside Aer: probabilities differ by {difference:.1e} at most ({SAME:g} allowed)"
    )
    return int(options.bar is not None and bad)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    options = _parser().parse_args(arguments)
    if options.worker:
        worker()
        return 0
    trees = {"now": HERE} if options.before is None else {"before": options.before, "now": HERE}
    builds = {name: Build(tree) for name, tree in trees.items()}
    if options.target.startswith("noisy:"):
        print(f"load {os.getloadavg()[0]:.2f}; {options.images} images, {options.target}")
        return noisy(builds, options)
    config = {
        "target": options.target,
        "num_images": options.images,
        "shots": options.shots or None,
        "layout_trials": 1,
    }
    print(f"load {os.getloadavg()[0]:.2f}; {options.images} images, {config['target']}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        run = str(Path(scratch) / "digits-demo")
        next(iter(builds.values())).ask({"train": True, "run": run})
        chains: dict[str, list[dict[str, Any]]] = {name: [] for name in builds}
        for _ in range(options.rounds):
            for name, build in builds.items():
                chains[name].append(build.ask({"run": run, "config": config}))
    for build in builds.values():
        build.close()
    images = {each["sha256"] for found in chains.values() for each in found}
    if len(images) != 1:
        raise SystemExit("The builds give different images.")
    print("| build | first step ms | a step ms, median | least |\n|---|---:|---:|---:|")
    least = {}
    for name, found in chains.items():
        steps = [each for chain in found for each in chain["steps_ms"]]
        least[name] = min(steps)
        first = found[0]["start_ms"]
        print(f"| {name} | {first:.1f} | {median(steps):.2f} | {least[name]:.2f} |", flush=True)
    if options.before is None:
        return 0
    middle = {
        name: median(each for chain in found for each in chain["steps_ms"])
        for name, found in chains.items()
    }
    ratio = middle["before"] / middle["now"]
    print(
        f"\na step is {ratio:.1f} times as fast (least: {least['before'] / least['now']:.1f}); "
        f"the same images bit for bit, {images.pop()[:12]}"
    )
    return 1 if options.bar is not None and ratio < options.bar else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, help="a checkout of an earlier build")
    parser.add_argument("--target", default="engine", help="where the circuit runs")
    parser.add_argument("--shots", type=int, default=1024, help="0 is exact")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3, help="chains of each build")
    parser.add_argument(
        "--bar",
        type=float,
        help=f"exit 1 below this ratio, such as {BAR:g}; on noisy: targets any number holds "
        + ", ".join(f"{part} to {ratio:g}" for part, ratio in NOISY_BARS.items()),
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
