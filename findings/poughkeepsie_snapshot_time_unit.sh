#!/usr/bin/env bash
# qiskit-ibm-runtime 0.51.0: the sampling time of the snapshot fake_poughkeepsie.
#
# Guess:     dt is 3.56 ns, as that device's generation had; every other snapshot with a dt lies between 0.2 and 4 ns.
# Behaviour: it is 3.6e-18 s, a factor of 1e9 below: the snapshot's file has the number in seconds, and it is read as nanoseconds.
#            A delay of 1000 dt is then 3.6e-15 s, so scheduling and relaxation on this snapshot see no time pass.
# Output seen:
#   fake_poughkeepsie: dt = 3.556e-18 s; its file says 3.5555555555555554e-09
#   others with a dt: 62, from 2.22e-10 to 4.00e-09 s
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit==2.6.2 qiskit-ibm-runtime==0.51.0
"$work/venv/bin/python" -W ignore - <<'PY'
import json
from importlib.metadata import version
from pathlib import Path

import qiskit_ibm_runtime
from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2

print("qiskit-ibm-runtime", version("qiskit-ibm-runtime"))
dts = {b.name: b.target.dt for b in FakeProviderForBackendV2().backends() if b.target.dt}
odd = dts.pop("fake_poughkeepsie")
folder = Path(qiskit_ibm_runtime.__file__).parent / "fake_provider" / "backends" / "poughkeepsie"
said = json.loads((folder / "conf_poughkeepsie.json").read_text())["dt"]
print(f"fake_poughkeepsie: dt = {odd:.3e} s; its file says {said}")
print(f"others with a dt: {len(dts)}, from {min(dts.values()):.2e} to {max(dts.values()):.2e} s")
assert odd < 1e-17 and 1e-10 < min(dts.values()) and max(dts.values()) < 1e-8
PY
