"""Damaged files for every reader: `python -m tests.fuzz.fuzz --inputs 100000 --seed 0`.

Each input is a whole file of ours with damage that a seed decides. A reader returns or raises an error
of ours in one line; anything else is wrong, and so are 5 s of processor time, 15 minutes of waiting, or
2.5 GB of memory. Each reader has a process of its own, so that one that dies is seen.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from qdm_qiskit.errors import QdmError
from tests.fuzz.mutations import bombs, mutated
from tests.fuzz.readers import Reader, readers

MOST_SECONDS = 5.0
MOST_BYTES = 2_500_000_000
MOST_WALL_SECONDS = 900
"""After so long a reading is given up; a busy machine gives a process little time."""
SLOW_SHARE = 0.25
"""Inputs of a reader that is not fast, beside one that is."""


class Hang(BaseException):
    """A reading that does not end."""


def fuzz(reader: Reader, name: str, count: int, seed: int, bomb_bytes: int = 0) -> dict[str, Any]:
    """Read so many damaged copies of a file; return what was seen, and what was wrong.

    With `bomb_bytes` the first copies of an archive unpack into so much: one into an array of
    bytes, the others into more rows of each of its arrays.
    """
    whole = reader.file.read_bytes()
    seen: dict[str, Any] = {"inputs": count, "read": 0, "refused": 0, "seconds": 0.0, "wrong": []}
    reader.read()  # the whole file
    first = bombs(whole, bomb_bytes) if bomb_bytes and whole[:2] == b"PK" else []

    def stop(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, stop)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(count):
            draw = random.Random(f"{name} {seed} {number}")
            bombed = number < len(first)
            reader.file.write_bytes(first[number] if bombed else mutated(whole, draw))
            begun, wrong = time.process_time(), ""
            signal.alarm(MOST_WALL_SECONDS)
            try:
                reader.read()
                seen["read"] += 1
            except QdmError as error:
                seen["refused"] += 1
                wrong = "an error of two lines" if "\n" in str(error) else ""
            except BaseException as error:  # what a reader may not raise
                wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            finally:
                signal.alarm(0)
            took = time.process_time() - begun
            seen["seconds"] = max(seen["seconds"], took)
            if took > MOST_SECONDS:
                wrong = f"{took:.1f} s"
            if wrong:
                seen["wrong"].append(f"{name}, input {number} of seed {seed}: {wrong}")
    reader.file.write_bytes(whole)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen["bytes"] = peak
    if peak > MOST_BYTES:
        seen["wrong"].append(f"{name}: {peak} bytes of memory")
    return seen


def _in_a_process(
    reader: Reader, name: str, count: int, seed: int, bomb_bytes: int
) -> dict[str, Any]:
    """The same in a process of its own."""
    context = multiprocessing.get_context("fork")
    out = Path(tempfile.mkstemp(prefix="fuzz-")[1])

    def work() -> None:
        out.write_text(json.dumps(fuzz(reader, name, count, seed, bomb_bytes)))

    process = context.Process(target=work)
    process.start()
    process.join()
    try:
        if process.exitcode:
            text = f"{name}, seed {seed}: the process ended with {process.exitcode}"
            return {
                "inputs": 0,
                "read": 0,
                "refused": 0,
                "seconds": 0.0,
                "bytes": 0,
                "wrong": [text],
            }
        found: dict[str, Any] = json.loads(out.read_text())
        return found
    finally:
        out.unlink()


def shares(found: dict[str, Reader], inputs: int) -> dict[str, int]:
    """Inputs of each reader, `inputs` of them or a few more together."""
    weights = {name: 1.0 if each.fast else SLOW_SHARE for name, each in found.items()}
    whole = sum(weights.values())
    return {name: int(inputs * weight / whole) + 1 for name, weight in weights.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bomb", type=int, default=2_000_000_000, help="bytes; 0 for none")
    given = parser.parse_args()
    wrong: list[str] = []
    total = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        found = readers(Path(folder))
        heads = ("inputs", "read", "refused", "most s", "most MB", "wrong")
        print(f"{'reader':<24}" + "".join(f"{each:>9}" for each in heads))
        for name, count in shares(found, given.inputs).items():
            seen = _in_a_process(found[name], name, count, given.seed, given.bomb)
            total += seen["inputs"]
            wrong += seen["wrong"]
            print(
                f"{name:<24}{seen['inputs']:>9}{seen['read']:>9}{seen['refused']:>9}"
                f"{seen['seconds']:>9.3f}{seen['bytes'] / 1e6:>9.0f}{len(seen['wrong']):>9}",
                flush=True,
            )
            for each in seen["wrong"][:5]:
                print(f"  wrong: {each}", flush=True)
    print(f"{total} inputs, {len(wrong)} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
