"""What must hold between the keys of one ``[[sessions]]`` entry, and between it and its venue."""

from collections.abc import Iterator, Mapping
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.lines import KeyPath
from config.schema import AxiomConfig, SessionConfig, VenueConfig
from config.sessions import ScheduleConfig

Finding = tuple[KeyPath, str]

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AGES = ("FIX.4.0", "FIX.4.1", "FIX.4.2", "FIX.4.3", "FIX.4.4", "FIXT.1.1")
#: Key, and the first version that has its field.
_SINCE = {"next_expected_msg_seq_num": "FIX.4.4", "last_msg_seq_num_processed": "FIX.4.2", "reset_on_logon": "FIX.4.1"}
#: Logon fields that the session itself writes, by the key that governs each.
_OWN_FIELDS = {
    8: "begin_string", 9: "", 10: "", 34: "", 35: "", 43: "", 49: "sender_comp_id", 50: "sender_sub_id", 52: "",
    56: "target_comp_id", 57: "target_sub_id", 95: "raw_data_file", 96: "raw_data_file", 98: "",
    108: "heartbeat_interval_s", 122: "", 141: "reset_on_logon", 142: "sender_location_id",
    143: "target_location_id", 369: "last_msg_seq_num_processed", 553: "username",
    554: "password_file or password_env", 789: "next_expected_msg_seq_num",
    925: "new_password_file or new_password_env", 1137: "default_appl_ver_id",
}  # fmt: skip


def check_sessions(config: AxiomConfig) -> Iterator[Finding]:
    """Yield ``(key path, what is wrong)`` for each rule that a session breaks."""
    venues = {venue.name: venue for venue in config.simulator.venues}
    seen: dict[tuple[str, str, int], int] = {}
    for number, session in enumerate(config.sessions):
        identity = (session.sender_comp_id, session.target_comp_id, session.port)
        if identity in seen:
            yield ("sessions", number, "sender_comp_id"), f"repeats the CompIDs and port of entry {seen[identity]}"
        seen.setdefault(identity, number)
        for key, words in _own(session):
            yield ("sessions", number, *key.split(".")), words
        for key, words in _role(session, config):
            yield ("sessions", number, key), words
        if venues:
            for key, words in _at_venue(session, venues):
                yield ("sessions", number, *key.split(".")), words


def _own(session: SessionConfig) -> Iterator[tuple[str, str]]:
    if session.reconnect_max_ms < session.reconnect_min_ms:
        words = f"must be at least reconnect_min_ms ({session.reconnect_min_ms}), was {session.reconnect_max_ms}"
        yield "reconnect_max_ms", words
    if session.disconnect_after <= session.test_request_after:
        words = f"must be above test_request_after ({session.test_request_after:g}), was {session.disconnect_after:g}"
        yield "disconnect_after", words
    yield from _version(session)
    yield from _secrets(session)
    yield from _tables(session)


def _version(session: SessionConfig) -> Iterator[tuple[str, str]]:
    age = _AGES.index(session.begin_string)
    for key, since in _SINCE.items():
        if getattr(session, key) and age < _AGES.index(since):
            yield key, f"needs begin_string {since} or later, was {session.begin_string}"
    if session.timestamp_precision in ("micros", "nanos") and age < _AGES.index("FIX.4.4"):
        words = f"{session.timestamp_precision} needs begin_string FIX.4.4 or FIXT.1.1, was {session.begin_string}"
        yield "timestamp_precision", words


def _secrets(session: SessionConfig) -> Iterator[tuple[str, str]]:
    for kind in ("password", "new_password"):
        if getattr(session, f"{kind}_file") and getattr(session, f"{kind}_env"):
            yield f"{kind}_env", f"must not be given beside {kind}_file: name one place"
    for entry in session.logon_fields:
        tag = int(entry.partition("=")[0])
        if tag in _OWN_FIELDS:
            mend = f"use {_OWN_FIELDS[tag]}" if _OWN_FIELDS[tag] else "leave it out"
            yield "logon_fields", f"must not hold tag {tag}, which the session writes itself; {mend}"


def _tables(session: SessionConfig) -> Iterator[tuple[str, str]]:
    throttle, schedule, tls = session.throttle, session.schedule, session.tls
    if throttle.reserve_for_cancels and throttle.reserve_for_cancels >= throttle.messages:
        words = f"must be below messages ({throttle.messages}), was {throttle.reserve_for_cancels}"
        yield "throttle.reserve_for_cancels", words
    if bool(schedule.start_day) != bool(schedule.end_day):
        missing = "end_day" if schedule.start_day else "start_day"
        yield f"schedule.{missing}", "must be given too: a weekly session has both days"
    if schedule.start_day and schedule.weekdays:
        yield "schedule.weekdays", "must not be given beside start_day: a session is daily or weekly"
    try:
        ZoneInfo(schedule.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield "schedule.time_zone", f"must be an IANA zone such as America/New_York, was {schedule.time_zone!r}"
    yield from _calendar(schedule)
    if tls.key_file and not tls.certificate_file:
        yield "tls.certificate_file", "must be given too: a key without its certificate proves nothing"
    if tls.certificate_file and not tls.enabled:
        yield "tls.enabled", "must be true: a certificate is given"
    if session.engine == "quickfix":
        if tls.enabled:
            yield "tls.enabled", 'must be false with engine = "quickfix", whose public builds have no TLS'
        if session.validation.enabled and session.validation.strict:
            yield "validation.strict", 'must be false with engine = "quickfix", which has no such switch'
        if session.validation.enabled and not session.validation.check_required:
            yield "validation.check_required", 'must be true with engine = "quickfix", which always checks it'
        if session.role == "drop_copy":
            yield "engine", 'must be "axiom" for role = "drop_copy"'


def _calendar(schedule: ScheduleConfig) -> Iterator[tuple[str, str]]:
    """Dates that exist, each named once; half days that end within their session."""
    seen: set[str] = set()
    for key in ("holidays", "half_days"):
        for entry in getattr(schedule, key):
            day = entry[:10]
            if day in seen:
                yield f"schedule.{key}", f"must not name {day} again: a date stands once in holidays and half_days"
            seen.add(day)
            try:
                weekday = _WEEKDAYS[date.fromisoformat(day).weekday()]
            except ValueError:
                yield f"schedule.{key}", f"must hold dates that exist, had {day}"
                continue
            if key == "half_days":
                first, last = _usual_hours(schedule, weekday)
                ends = _whole(entry[11:])
                # Over midnight a session has two parts of a day.
                if not (first < ends < last if first < last else ends > first or ends < last):
                    yield f"schedule.{key}", f"must end after {first} and before {last} on {day}, was {ends}"


def _usual_hours(schedule: ScheduleConfig, weekday: str) -> tuple[str, str]:
    """From when to when a session is open on a weekday; of a daily one, the session that begins then."""
    first, last = _whole(schedule.start_time), _whole(schedule.end_time)
    if not schedule.start_day:
        return first, last
    first = first if weekday == schedule.start_day else "00:00:00"
    return first, last if weekday == schedule.end_day and last > first else "24:00:00"


def _whole(clock: str) -> str:
    return f"{clock}:00" if len(clock) == len("HH:MM") else clock


def _role(session: SessionConfig, config: AxiomConfig) -> Iterator[tuple[str, str]]:
    if session.role == "drop_copy":
        if not any(other.venue == session.venue for other in config.trading.values()):
            yield "venue", f"must be that of a session that trades, was {session.venue!r}: there is nothing to check"
        if session.market_data == "fix":
            yield "market_data", 'must not be "fix" for role = "drop_copy", which only listens'


def _at_venue(session: SessionConfig, venues: Mapping[str, VenueConfig]) -> Iterator[tuple[str, str]]:
    venue = venues.get(session.venue)
    if venue is None:
        yield "venue", f"must be one of {', '.join(venues)}, was {session.venue!r}"
        return
    copy = session.role == "drop_copy"
    known = [entry.comp_id for entry in (venue.drop_copies if copy else venue.clients)]
    if session.sender_comp_id not in known:
        what = "drop copy" if copy else "client"
        there = ", ".join(known) or "nobody"
        yield "sender_comp_id", f"must be a {what} of venue {venue.name} ({there}), was {session.sender_comp_id!r}"
    if session.begin_string != "FIX.4.4":
        yield "begin_string", f"must be FIX.4.4, which the simulated venue speaks, was {session.begin_string}"
    if session.tls.enabled:
        yield "tls.enabled", f"must be false: the simulated venue {venue.name} has no TLS"
