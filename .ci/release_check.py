#!/usr/bin/env python3
"""Build wheel and sdist, install them into an empty environment outside the clone, and use them.

    make release-check
    .venv/bin/python .ci/release_check.py --folder build/release --keep

What is checked: both archives hold the package's files, and the wheel nothing else; the wheel that
the sdist builds, which is installed, is the one that the clone builds; the installed command trains,
samples through noise, exports, makes a card, plans, sends and replays; a user's code is type-checked
against it; nothing is imported from the clone. Exit with 1 and the reason if something is not so.
What builds and what is used are environments of their own; mypy is this one's, which `make install`
made, and pyright (as basedpyright, which PyPI has whole) looks at both installs, this editable one too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = "torch==2.13.0"  # which has a CPU build; see constraints.txt
TOOLS = ("build==1.6.1", "setuptools==84.2.1", "basedpyright==1.40.2")
PYRIGHT = {
    "typeCheckingMode": "standard",
    "enableTypeIgnoreComments": True,
    "reportUnnecessaryTypeIgnoreComment": "error",
}
"""An ignore without a fault is a fault: what is wrong in user_code.py must be seen as wrong."""
COMMANDS = (
    "train --model eeqdm --epochs 1 --set image_size=2 --set train_count=20 --out run",
    "sample run --target noisy:fake_manila --shots 20 --num-images 1 --quiet --out drawn",
    "export run --device fake_manila --trials 1 --quiet",
    "push run somebody/run --dry-run",
    "run plan run --target aer --shots 20 --num-images 1 --quiet",
    "run submit latest --yes --quiet",
    "run replay latest",
)
"""What a first user does, in one empty folder, in this order."""
USE = """
import sys
import qdm_qiskit as qdm
place, version, run = sys.argv[1:]
assert qdm.__file__.startswith(place), f"imported from {qdm.__file__}, not from {place}"
assert qdm.__version__ == version, f"says version {qdm.__version__}, not {version}"
images = qdm.QDMPipeline.from_pretrained(run)(num_images=2).images
assert images.shape == (2, 1, 2, 2), images.shape
missing = [name for name in qdm.__all__ if not hasattr(qdm, name)]
assert not missing, missing
"""


def run(*words: object, cwd: Path, label: str) -> str:
    """Run a command and return what it prints; leave with its last lines if it fails."""
    begun = time.monotonic()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "QDM_ROOT")}
    done = subprocess.run(  # noqa: S603 (the words of this file)
        [str(word) for word in words],
        cwd=cwd,
        env={**environment, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        sys.exit(f"release check: {label} failed with {done.returncode}:\n{tail}")
    print(f"{time.monotonic() - begun:7.1f} s  {label}", flush=True)
    return done.stdout


def package_files() -> set[str]:
    """Return the files of the package as git has them, which a wheel must hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "qdm_qiskit"],  # noqa: S607 (the PATH's own git)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def content_of_wheel(path: Path) -> dict[str, bytes]:
    """Return the package's files in a wheel, by name."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        return {name: archive.read(name) for name in names}


def check_archives(wheel: Path, sdist: Path, rebuilt: Path) -> None:
    """Refuse archives with too much or too little in them."""
    content, expected = content_of_wheel(wheel), package_files()
    if set(content) != expected:
        odd = sorted(set(content) ^ expected)
        sys.exit(f"release check: the wheel and the package differ in {', '.join(odd[:5])}.")
    changed = [name for name, data in content.items() if data != (ROOT / name).read_bytes()]
    if changed:
        sys.exit(f"release check: the wheel holds another content of {', '.join(changed[:5])}.")
    if content_of_wheel(rebuilt) != content:
        sys.exit("release check: the sdist does not build the wheel that the clone builds.")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("pyproject.toml", "README.md", "LICENSE", *expected):
        if needed not in names:
            sys.exit(f"release check: the sdist lacks {needed}.")


def use(python: Path, pyright: Path, folder: Path, version: str) -> None:
    """Use an installed package as its first user would, in an empty folder."""
    folder.mkdir()
    qdm = python.with_name("qdm")
    said = run(qdm, "--version", cwd=folder, label="qdm --version").strip()
    if said != f"qdm {version}":
        sys.exit(f"release check: `qdm --version` says {said!r}, not version {version}.")
    for line in COMMANDS:
        run(qdm, *line.split(), cwd=folder, label=f"qdm {line}")
    code = (python, "-c", USE, python.parents[1], version, "run")
    run(*code, cwd=folder, label="import qdm_qiskit")
    shutil.copy(ROOT / "tests" / "user_code.py", folder)
    types = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    run(*types, "user_code.py", cwd=folder, label="mypy sees the types of the installed package")
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    for name, each in (("installed", python), ("editable", Path(sys.executable))):
        label = f"pyright sees the types of the {name} package"
        run(pyright, "--pythonpath", each, "user_code.py", cwd=folder, label=label)


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description="Build the release, install it, use it.")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "release")
    parser.add_argument("--keep", action="store_true", help="keep the environment")
    options = parser.parse_args()
    begun = time.monotonic()
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    tools, place = folder / "tools", folder / "installed"
    run(sys.executable, "-m", "venv", tools, cwd=folder, label="environment to build in")
    build = tools / "bin" / "python"
    run(build, "-m", "pip", "install", "--quiet", *TOOLS, cwd=folder, label="tools")
    dist = folder / "dist"
    # The sdist, then a wheel of it; and a wheel of the clone, to compare. Outside the clone,
    # whose build/ would otherwise be taken for a module.
    source = folder / "source"
    shutil.copytree(
        ROOT / "qdm_qiskit", source / "qdm_qiskit", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    words: tuple[object, ...] = (build, "-m", "build", "--no-isolation", source)
    run(*words, "--outdir", dist, cwd=folder, label="sdist, and the wheel that it builds")
    run(*words, "--wheel", "--outdir", folder / "direct", cwd=folder, label="wheel of the clone")
    [sdist], [rebuilt] = dist.glob("*.tar.gz"), dist.glob("*.whl")
    [wheel] = (folder / "direct").glob("*.whl")
    check_archives(wheel, sdist, rebuilt)

    words = (sys.executable, "-m", "venv", "--without-pip", place)
    run(*words, cwd=folder, label="empty environment")
    python = place / "bin" / "python"
    # Not compiled ahead: most of these files are never imported here.
    pip = (build, "-m", "pip", "--python", python)
    install = (*pip, "install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt")
    run(*install, TORCH, cwd=folder, label=f"install {TORCH}")
    run(*install, rebuilt, cwd=folder, label=f"install {rebuilt.name} of {sdist.name}")
    run(*pip, "check", cwd=folder, label="pip check")
    use(python, build.with_name("basedpyright"), folder / "use", version)
    if not options.keep:
        for each in (tools, place, source):
            shutil.rmtree(each, ignore_errors=True)
    print(
        f"{time.monotonic() - begun:7.1f} s  in all; {sdist.name} and {rebuilt.name} are in {dist}"
    )


if __name__ == "__main__":
    main()
