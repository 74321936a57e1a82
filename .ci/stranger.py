#!/usr/bin/env python3
"""Go a stranger's path: twelve commands of docs/first_day.md, timed, in an empty folder.

    python .ci/stranger.py                 # clone and install too: needs the network
    python .ci/stranger.py --installed     # leave these two out, and use the `qdm` that is on the PATH

The commands are read from the page, so that what is timed is what is read. The last one but one
pushes to a hub; the tests' own answers it. Exit with 1 at the first command that fails, or if all
of them took more than 25 minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "first_day.md"
MOST_COMMANDS, MOST_SECONDS = 12, 25 * 60
SETTING_UP = 2
"""The first commands, which clone and install."""


def commands() -> list[str]:
    """Return the commands of the page, one for each block of shell."""
    return re.findall(r"```sh\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description="Go a stranger's path, timed.")
    parser.add_argument("--installed", action="store_true", help="clone and install nothing")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.hub_server import TOKEN, serving

    listed = commands()
    if len(listed) > MOST_COMMANDS:
        sys.exit(f"stranger: {len(listed)} commands, more than {MOST_COMMANDS}.")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, serving() as hub:
        place = Path(folder)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "QDM_HOME": f"{folder}/home",
            "HF_HOME": f"{folder}/hf",
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",  # the hub of the tests takes weights by LFS alone
            "REPOSITORY": str(ROOT),
        }
        if options.installed:
            (place / "qdm_qiskit").mkdir()
        else:
            environment.pop("PYTHONPATH", None)
        for number, line in enumerate(listed, start=1):
            if options.installed and number <= SETTING_UP:
                continue
            where = place if number == 1 else place / "qdm_qiskit"
            started = time.monotonic()
            done = subprocess.run(  # noqa: S603 (lines of our own page)
                ["bash", "-euc", line],  # noqa: S607 (the PATH's own bash)
                cwd=where,
                env=environment,
                capture_output=True,
                text=True,
            )
            if number == SETTING_UP:  # what `source .venv/bin/activate` does for a shell
                environment["PATH"] = f"{where}/.venv/bin:{environment['PATH']}"
            print(f"{time.monotonic() - started:7.1f} s  {line.splitlines()[0]}", flush=True)
            if done.returncode != 0:
                tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
                sys.exit(f"stranger: command {number} failed with {done.returncode}:\n{tail}")
    taken = time.monotonic() - begun
    print(f"{taken:7.1f} s  in all, {len(listed)} commands")
    if taken > MOST_SECONDS:
        sys.exit(f"stranger: {taken:.0f} s are more than {MOST_SECONDS} s.")


if __name__ == "__main__":
    main()
