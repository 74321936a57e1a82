"""A local HTTP server that speaks IBM's REST API as far as qiskit-ibm-runtime uses it.

Only for tests; nothing in the package imports it. See README.md beside this file.
"""

from .faults import Fault
from .local import LocalServer
from .settings import API_KEY, CRN, Settings

__all__ = ["API_KEY", "CRN", "Fault", "LocalServer", "Settings"]
