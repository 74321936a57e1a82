#!/usr/bin/env bash
# qiskit-ibm-runtime 0.51.0: filtering jobs by a moment whose time zone is neither UTC nor this machine's.
#
# Guess:     an aware datetime is one moment; jobs(created_after=noon at +05:00) asks for jobs since 07:00 UTC anywhere.
# Behaviour: a zone other than UTC is replaced by the machine's own before it is converted, so in New York the same moment
#            becomes 17:00 UTC, ten hours later: jobs of those hours are not listed. Times in UTC, and naive ones, are right.
# Output seen (created_after of the request, on a machine in New York):
#   2026-01-01T12:00:00+05:00 -> 2026-01-01T17:00:00+00:00
#   2026-01-01T07:00:00+00:00 -> 2026-01-01T07:00:00+00:00
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check qiskit-ibm-runtime==0.51.0 qiskit==2.6.2
TZ=America/New_York "$work/venv/bin/python" -W ignore - <<'PY'
from datetime import datetime, timedelta, timezone
from importlib.metadata import version

from qiskit_ibm_runtime.api.rest.runtime import Runtime

print("qiskit-ibm-runtime", version("qiskit-ibm-runtime"))


class Session:
    """Keeps the parameters of the request in place of sending it."""

    base_url, headers = "https://service.example", {}

    def get(self, url, params=None, **more):
        self.asked = params
        return self

    def json(self):
        return {"jobs": [], "count": 0}


def asked(moment):
    session = Session()
    Runtime(session).jobs_get(created_after=moment)
    found = session.asked["created_after"]
    print(moment.isoformat(), "->", found)
    return found


noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
same = noon.astimezone(timezone.utc)
assert noon == same
assert asked(noon) == "2026-01-01T17:00:00+00:00"
assert asked(same) == "2026-01-01T07:00:00+00:00"
PY
