"""What a test can set on the server: plan, limits, delays, queues."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace

API_KEY = "api-key-of-the-local-server"
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/0123456789:local-instance::"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one server; kept in its database, so that a restarted server has them too."""

    plan: str = "open"
    """"open" (no sessions, code 1352) or "paygo"."""
    limit_seconds: float = 600.0
    """QPU seconds that the instance may use; a POST beyond them gets a 409."""
    devices: tuple[str, ...] = ("nairobi",)
    """Snapshots of qiskit_ibm_runtime's fake_provider; `nairobi` is served as `ibm_nairobi`."""
    noisy: bool = True
    """Whether jobs run with the snapshot's noise."""
    queue_seconds: float = 0.0
    """A job waits this long before it runs."""
    queue_varies: dict[str, float] = field(default_factory=dict)
    """Jobs one of whose tags holds a text wait this long besides; the text "*" is the mean of a wait
    that is drawn for each job, exponential, by a hash of its tags."""
    recall: bool = False
    """Whether a job that ran before, with the same work on the same device, gets its counts at once."""
    run_seconds: float = 0.0
    """A job that has its counts stays in RUNNING this much longer."""
    metrics_pending_seconds: float = 0.0
    """After a job ends, its metrics say "pending" for this long."""
    metrics_status: bool = True
    """Whether metrics say if the usage is final."""
    listing_lag_seconds: float = 0.0
    """A job appears in GET /jobs only after this time."""
    token_life_seconds: int = 3600
    """Life of an access token."""
    interactive_ttl_seconds: float = 60.0
    """A dedicated session without a job for this long is "inactive"."""
    overhead_seconds: float = 2.0
    """Charged once for each job (see `device.charge_seconds`)."""
    rep_delay_seconds: float = 250e-6
    """Charged for each execution, beside the circuit's duration."""
    queue_length: dict[str, int] = field(default_factory=dict)
    """Jobs of others waiting, by backend name; 0 for a backend not named."""
    paused: tuple[str, ...] = ()
    """Backends that accept jobs and do not run them."""
    calibrated: str = ""
    """`last_update_date` of every backend's properties; empty: the snapshot's own."""
    max_session_seconds: float = 0.0
    """A session or batch that asks for a longer life gets a 400, code 1222; 0 is no limit."""
    max_session_text: str = "max_ttl {asked} exceeds the maximum of {most} for this plan"
    """What that refusal says."""
    max_session_default: bool = True
    """Whether a session that names no life gets the longest one; if not, it is refused as well."""
    max_pending_jobs: int = 0
    """A POST with that many jobs waiting or running gets a 400, code 3458; 0 is no limit."""
    max_executions: int = 0
    """A POST with more circuits times shots is refused; 0 is no limit."""
    max_circuits: int = 0
    """A POST with more circuits, each with its values, is refused; 0 is no limit."""
    max_size_text: str = (
        "The number of {what} ({size}) exceeds the maximum of {most} for this plan."
    )
    """What these refusals say, with code 1439."""
    max_size_late: bool = False
    """Whether such a job is taken, and fails at no cost with that reason, in place of a 400."""
    max_body_bytes: int = 80_000_000
    """A larger POST gets a 413."""

    def changed(self, values: dict[str, object]) -> Settings:
        """A copy with `values`; an unknown name is a ValueError."""
        unknown = set(values) - {each.name for each in fields(self)}
        if unknown:
            raise ValueError(f"unknown settings {sorted(unknown)}")
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return replace(self, **{**values, **lists})

    def to_dict(self) -> dict[str, object]:
        return asdict(self)
