"""How much processor time passes before `qdm train` and `qdm sample` have done their first step?

Each command runs in processes of its own that end behind the first step, and so does each of the parts
that it waits for: Python, the parser, torch, Qiskit. Rounds are interleaved, and the least of each
counts, user and system time of the whole process: a machine that is busy with other things makes every
process slower, none faster, and the load stands beside the numbers.

    python benchmarks/startup.py [--rounds 5] [--json benchmarks/results/startup.json]
"""

from __future__ import annotations

import machine  # first: it sets the number of threads  # isort: skip

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["PARTS", "seconds_of", "until_first_step"]

PARTS = {
    "python": "pass",
    "parser": "import qdm_qiskit.cli.main",
    "torch": "import gc; gc.disable(); import torch",
    "torch and qiskit": "import gc; gc.disable(); import torch, qiskit",
    "torch and its compiler": "import gc; gc.disable(); import torch, torch._dynamo",
}
"""Processes that do only this; the command imports without garbage collections, and so do they."""
TRAIN = ("train", "--preset", "digits-demo", "--epochs", "1")
SAMPLE = ("--num-images", "4")
WORDS = {"train": "step 1:", "sample": "sampling"}
"""How the message begins that says that the first step is done."""
UNTIL = """
import os, sys
from qdm_qiskit.progress import Message
begins, made = sys.argv.pop(1), Message.__new__
def until(kind, *given, **named):
    found = made(kind, *given, **named)
    if found.startswith(begins) and found.done == 1:
        os._exit(0)
    return found
Message.__new__ = until
from qdm_qiskit.cli.main import main
main()
sys.exit("no first step was seen")
"""


def seconds_of(*command: str) -> float:
    """Return user and system seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(  # noqa: S603
        [sys.executable, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def until_first_step(*arguments: str) -> float:
    """Return the seconds of a command up to its first step."""
    return seconds_of("-c", UNTIL, WORDS[arguments[0]], *arguments)


def measure(rounds: int, folder: Path) -> dict[str, float]:
    """Return the least seconds of everything."""
    trained = folder / "trained"
    seconds_of("-m", "qdm_qiskit.cli.main", *TRAIN, "--out", str(trained))  # fills caches too
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        for name, code in PARTS.items():
            found.setdefault(name, []).append(seconds_of("-c", code))
        train = until_first_step(*TRAIN, "--out", str(folder / f"run-{number}"))
        found.setdefault("qdm train", []).append(train)
        out = str(folder / f"samples-{number}")
        sample = until_first_step("sample", str(trained), *SAMPLE, "--out", out)
        found.setdefault("qdm sample", []).append(sample)
    return {name: min(each) for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bar", type=float, help="most seconds of each command; else exit code 1")
    asked = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody's second start compiles Python
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(asked.rounds, Path(folder))
    for name, each in seconds.items():
        print(f"{name:<24}{each:6.2f} s")
    for name in ("qdm train", "qdm sample"):
        print(f"{name} beside torch  {seconds[name] - seconds['torch']:6.2f} s")
    if asked.json:
        content = {**machine.describe(), "rounds": asked.rounds, "least_s": seconds}
        asked.json.write_text(json.dumps(content, indent=2) + "\n")
    if asked.bar and max(seconds["qdm train"], seconds["qdm sample"]) > asked.bar:
        sys.exit(1)


if __name__ == "__main__":
    main()
