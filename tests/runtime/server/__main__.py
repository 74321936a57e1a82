"""`python -m tests.runtime.server --db FILE`: prints its port when it listens."""

from __future__ import annotations

import argparse
import json
import os
import sys

from .api import Api
from .settings import Settings
from .store import Store
from .wire import Server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--db", required=True)
    parser.add_argument("--settings", default="{}", help="JSON, see settings.py")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    api = Api(Store(options.db), Settings().changed(json.loads(options.settings)))
    server = Server(options.port, api)
    api.worker.start()
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    try:
        server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        sys.exit(0)


main()
