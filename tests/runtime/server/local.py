"""A server in a process of its own, for tests: start it, order faults, read its ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from .faults import Fault
from .settings import API_KEY, CRN

ROOT = Path(__file__).resolve().parents[3]


class LocalServer:
    """`with LocalServer(folder, plan="paygo") as server: ... server.env ...`

    The keyword arguments are those of `Settings`. The database lies in `folder`; `stop` and
    `start` (or `kill` and `start`) give the same server again at the same address.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        self.db = Path(folder) / "server.sqlite"
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> LocalServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", "tests.runtime.server", "--db", str(self.db)]
        command += ["--port", str(self.port), "--settings", json.dumps(self._settings)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start (exit {self._process.wait()})")
        self.port = json.loads(line)["port"]
        self._settings = {}  # from now on its database has them

    def kill(self) -> None:
        """kill -9: connections are reset, what it answered is in its database."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """Variables that lead the unmodified client here."""
        return {
            "QISKIT_IBM_TOKEN": API_KEY,
            "QISKIT_IBM_INSTANCE": CRN,
            "QISKIT_IBM_CHANNEL": "ibm_quantum_platform",
            "QISKIT_IBM_URL": f"{self.origin}/experimental",
            "IAM_URL": f"{self.origin}/iam",
            "GLOBAL_SEARCH_URL": f"{self.origin}/search",
            "GLOBAL_CATALOG_URL": f"{self.origin}/catalog",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def fault(self, **rule: object) -> None:
        """Order one `Fault` (its fields as keywords)."""
        self._call("POST", "faults", [Fault(**rule).to_dict()])  # type: ignore[arg-type]

    def faults(self) -> dict[str, list[dict[str, object]]]:
        """Rules not used up (`left`) and what was used (`used`)."""
        return self._call("GET", "faults")

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def change(self, **settings: object) -> None:
        """Change settings while it runs."""
        self._call("POST", "settings", settings)

    def ledger(self) -> dict:
        """Jobs, sessions, submissions and payments by tag and by payload, requests."""
        return self._call("GET", "ledger")

    def reset(self) -> None:
        """Forget jobs, sessions and faults."""
        self._call("POST", "reset", {})

    def revoke_tokens(self) -> None:
        """All tokens given out so far become invalid."""
        self._call("POST", "revoke", {})

    def end_session(self, session_id: str) -> None:
        """Close a session or batch as the service does."""
        self._call("POST", f"sessions/{session_id}/end", {})

    def _call(self, method: str, what: str, body: object = None) -> dict:
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.origin}/_test/{what}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else {}
