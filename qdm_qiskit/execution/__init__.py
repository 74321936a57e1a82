"""Where circuits run: target strings, Aer, device snapshots and IBM's local mode.

Nothing in this folder can spend QPU time. ``targets`` parses the target strings, ``snapshots``
loads device snapshots, ``factory.make_runner`` turns a target into a ``runner.CircuitRunner``.
"""
