"""All that there is to say of a session, as plain values for status, control and logs."""

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from fix.endpoints.session import FixSession


def describe(session: "FixSession", now_ns: int) -> dict[str, Any]:
    """A JSON-able picture of ``session``; no secret is in it."""
    settings, connection, schedule = session.settings, session.connection, session.schedule
    return {
        "name": settings.name,
        "index": session.index,
        "begin_string": settings.begin_string,
        "sender_comp_id": settings.sender_comp_id,
        "target_comp_id": settings.target_comp_id,
        "role": settings.role.value,
        "state": session.state.value,
        "enabled": session.enabled,
        "closed_reason": session.closed_reason(now_ns),
        "steady": session.steady,
        "peer": connection.peer if connection is not None else "",
        "tls": connection.tls if connection is not None else "",
        "next_in": session.next_in,
        "next_out": session.next_out,
        "last_reason": session.last_reason,
        "schedule": schedule.describe() if schedule is not None else "",
        "schedule_open": schedule is None or schedule.is_open(now_ns),
        "schedule_next_change_ns": schedule.next_change(now_ns) if schedule is not None else None,
        "backlog_bytes": session.backlog_bytes,
        "backpressure": msgspec.to_builtins(session.backpressure),
        "throttle": session.throttle.snapshot() if session.throttle is not None else None,
        "counters": msgspec.to_builtins(session.counters) | {
            "messages_in": session.counters.hot_in + session.counters.steady_in + session.counters.machine_in,
            "bytes_in": session.counters.bytes_in + (connection.received if connection is not None else 0),
        },
        "latency": session.latency.snapshot(),
        "lane": session.lane_snapshot(),
        "machine": session.machine.snapshot() | {"next_in": session.next_in},
    }  # fmt: skip
