"""From configuration keys to the structs of ``fix``: what is handed on, and where secrets come from."""

import ast
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from config import load_text
from config.sessions import SessionConfig
from engine.errors import SessionConfigError
from engine.heldback import REASON_OTHER, refusals
from engine.sessions import build_session, open_session, open_store
from engine.state import make_engine
from fix.codec import SymbolTable
from fix.endpoints import OnExceed
from fix.session import SessionSettings, TestRequestPolicy, TimestampPrecision
from fix.store import MemoryStore
from fix.throttle import ThrottlePolicy
from market.enums import ExecType, FrameKind, OrdStatus, Side
from market.records import EXECUTION

BASE = {"name": "S", "venue": "V", "port": 9001, "sender_comp_id": "US", "target_comp_id": "THEM"}
#: Settings that no key sets: each with the reason.
NOT_KEYS = {
    "role": "the daemon initiates",
    "resend_chunk": "work of one turn of the loop, not a matter of the counterparty",
    "stale_types": "decided by what the messages mean",
    "business_reject_appl_ver_id": "of acceptors that imitate an engine",
    "allow_poss_dup": "the daemon never sends PossDup itself",
    "max_held_messages": "stands in the backpressure table",
    "password": "comes from password_file or password_env",
    "new_password": "comes from new_password_file or new_password_env",
    "raw_data": "comes from raw_data_file",
}


def session(**keys) -> SessionConfig:
    return msgspec.convert({**BASE, **keys}, SessionConfig)


def test_every_setting_of_a_session_has_a_key() -> None:
    missing = set(SessionSettings.__struct_fields__) - set(SessionConfig.__struct_fields__) - set(NOT_KEYS)
    assert missing == set()


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ({"begin_string": "FIXT.1.1", "default_appl_ver_id": "8"}, "default_appl_ver_id", "8"),
        ({"begin_string": "FIX.4.2", "default_appl_ver_id": "8"}, "default_appl_ver_id", ""),
        ({"timestamp_precision": "micros"}, "timestamp_precision", TimestampPrecision.MICROS),
        ({"test_request_policy": "never"}, "test_request_policy", TestRequestPolicy.NEVER),
        ({"logon_fields": ["8013=S", "58=a=b"]}, "logon_fields", ((8013, "S"), (58, "a=b"))),
        ({"backpressure": {"max_held_messages": 7}}, "max_held_messages", 7),
        ({"recover_by_reset": False}, "recover_by_reset", False),
        ({"heartbeat_interval_s": 30}, "heartbeat_interval_s", 30),
        ({"deliver_to_comp_id": "HUB"}, "deliver_to_comp_id", "HUB"),
    ],
)
def test_a_key_arrives_in_the_settings(keys, field, value) -> None:
    assert getattr(build_session(session(**keys)).settings, field) == value


def test_tables_are_off_unless_asked_for() -> None:
    parts = build_session(session())
    assert (parts.tls, parts.schedule, parts.throttle, parts.validator) == (None, None, None, None)
    assert parts.addresses == (("127.0.0.1", 9001),)


def test_tables_are_handed_on_in_the_units_of_fix() -> None:
    parts = build_session(
        session(
            tls={"enabled": True, "ca_file": "ca.pem", "server_name": "venue", "minimum_version": "1.3"},
            schedule={
                "enabled": True,
                "time_zone": "Asia/Tokyo",
                "start_time": "09:00",
                "end_time": "15:30:30",
                "holidays": ["2026-01-01"],
                "half_days": ["2026-12-30 11:30", "2027-12-30 11:30:30"],
            },
            throttle={"messages": 100, "window_ms": 500, "reserve_for_cancels": 10, "policy": "queue"},
            backpressure={"max_backlog_mib": 2, "pause_resend_kib": 3, "on_exceed": "refuse"},
            alternates=["b.example:9002", "[::1]:9003"],
            reconnect_min_ms=50,
            reconnect_max_ms=60,
            reconnect_jitter=0.25,
        )
    )
    assert (parts.tls.authorities, parts.tls.server_name, parts.tls.min_version) == ("ca.pem", "venue", "1.3")
    assert (parts.schedule.time_zone, parts.schedule.start, parts.schedule.end) == (
        "Asia/Tokyo",
        "09:00:00",
        "15:30:30",
    )
    assert parts.schedule.holidays == ("2026-01-01",)
    assert parts.schedule.half_days == ("2026-12-30 11:30:00", "2027-12-30 11:30:30")
    assert (parts.throttle.messages, parts.throttle.window_s, parts.throttle.policy) == (100, 0.5, ThrottlePolicy.QUEUE)
    assert (parts.backpressure.max_backlog_bytes, parts.backpressure.pause_resend_bytes) == (2 << 20, 3 << 10)
    assert parts.backpressure.on_exceed is OnExceed.REFUSE
    assert parts.addresses == (("127.0.0.1", 9001), ("b.example", 9002), ("::1", 9003))
    assert (parts.reconnect.first_s, parts.reconnect.max_s, parts.reconnect.jitter) == (0.05, 0.06, 0.25)


@pytest.mark.parametrize(("enabled", "tag"), [(True, 9999), (False, None)])
def test_validation_is_as_the_switches_say(enabled, tag) -> None:
    from fix.messages import parse

    validation = {"enabled": enabled, "validate_user_defined_fields": True}
    parts = build_session(session(validation=validation))
    body = b"35=0\x0149=THEM\x0156=US\x0134=1\x0152=20260105-10:00:00.000\x019999=x\x01"
    raw = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    message = parse(raw + b"10=%03d\x01" % (sum(raw) % 256))
    refusal = parts.validator.check(message) if parts.validator else None
    assert (refusal.ref_tag if refusal else None) == tag


# -- secrets ------------------------------------------------------------------------------------


def secret_file(tmp_path: Path, text: str, mode: int = 0o600) -> str:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_password_comes_from_a_file_or_a_variable_and_is_shown_nowhere(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BANK_PASSWORD", "h4nd")
    config = session(
        username="u", password_file=secret_file(tmp_path, "s3cret\nsecond\n"), new_password_env="BANK_PASSWORD"
    )
    parts = build_session(config)
    assert (parts.settings.password, parts.settings.new_password) == ("s3cret", "h4nd")
    for shown in (repr(parts), repr(config), msgspec.json.encode(config).decode()):
        assert "s3cret" not in shown and "h4nd" not in shown


@pytest.mark.parametrize(
    ("text", "mode", "found"),
    [
        ("p\n", 0o640, "may be read by others (mode 0640): chmod 600 it"),
        ("p\n", 0o604, "may be read by others (mode 0604): chmod 600 it"),
        ("", 0o600, "must hold the password on its first line"),
        ("\np\n", 0o600, "must hold the password on its first line"),
    ],
)
def test_a_password_file_that_cannot_be_used_is_named(tmp_path, text, mode, found) -> None:
    with pytest.raises(SessionConfigError, match="session S: password_file") as caught:
        build_session(session(password_file=secret_file(tmp_path, text, mode)))
    assert found in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"password_file": "/nowhere/secret"}, "session S: password_file /nowhere/secret cannot be read: No such file"),
        (
            {"password_env": "UNSET_HERE"},
            "session S: password_env names UNSET_HERE, which is not set or empty: export it",
        ),
        ({"raw_data_file": "/nowhere/token"}, "session S: raw_data_file /nowhere/token cannot be read"),
    ],
)
def test_a_secret_that_is_not_there_is_named(monkeypatch, keys, found) -> None:
    monkeypatch.delenv("UNSET_HERE", raising=False)
    with pytest.raises(SessionConfigError) as caught:
        build_session(session(**keys))
    assert found in str(caught.value)


def test_raw_data_is_taken_as_bytes(tmp_path) -> None:
    assert build_session(session(raw_data_file=secret_file(tmp_path, "a\nb"))).settings.raw_data == b"a\nb"


async def test_orders_need_what_the_kernels_can_write_but_a_drop_copy_only_the_version() -> None:
    symbols = SymbolTable(2)
    routed = {"on_behalf_of_comp_id": "HUB"}
    with pytest.raises(SessionConfigError, match="orders are written by kernels, which cannot do this: routing"):
        open_session(build_session(session(**routed)), MemoryStore(), object(), symbols, 0)
    opened, initiator = open_session(
        build_session(session(role="drop_copy", alternates=["b:2"], **routed)), MemoryStore(), object(), symbols, 0
    )
    assert opened.hot is None
    assert initiator.address == ("127.0.0.1", 9001)


@pytest.mark.skipif(find_spec("quickfix") is None, reason="the quickfix package is not installed")
async def test_quickfix_gets_the_dictionary_the_hours_and_the_limit(tmp_path) -> None:
    parts = build_session(
        session(
            engine="quickfix",
            validation={"enabled": True, "validate_user_defined_fields": True},
            schedule={"enabled": True, "start_time": "00:00", "end_time": "00:00", "weekdays": ["mon"]},
            throttle={"messages": 3, "window_ms": 60_000},
        )
    )
    store = open_store(parts.config, tmp_path / "S", 7)
    opened, initiator = open_session(parts, store, object(), SymbolTable(2), 0)
    said = opened.describe()
    assert "ValidateUserDefinedFields=Y" in opened.prepare()[1]  # a switch of the dictionary
    assert (opened.schedule, opened.throttle.throttle.settings) == (parts.schedule, parts.throttle)
    assert "mon" in said["schedule"].lower() and initiator.attempts == 0
    store.close()


@pytest.mark.skipif(find_spec("quickfix") is None, reason="the quickfix package is not installed")
async def test_quickfix_without_tls_is_never_given_a_session_that_wants_it(tmp_path) -> None:
    parts = build_session(session(engine="quickfix", tls={"enabled": True, "ca_file": "ca.pem"}))
    store = open_store(parts.config, tmp_path / "S", 7)
    with pytest.raises(SessionConfigError, match='session S: engine = "quickfix" has no TLS'):
        open_session(parts, store, object(), SymbolTable(2), 0)
    store.close()


# -- requests that never left -------------------------------------------------------------------


def test_the_step_hears_of_what_was_held_back_as_a_venue_would_say_it() -> None:
    engine = make_engine(4, 16)
    new, changed, canceled = engine.orders[1], engine.orders[2], engine.orders[3]
    new["cl_ord_id"], new["status"], new["qty"], new["side"], new["instrument"] = (
        0x10001,
        OrdStatus.PENDING_NEW,
        7,
        Side.BUY,
        2,
    )
    changed["cl_ord_id"], changed["pending_id"], changed["pending_qty"] = 0x10002, 0x20002, 5
    canceled["cl_ord_id"], canceled["pending_id"], canceled["cum_qty"] = 0x10003, 0x20003, 1
    cells = refusals(engine, 6, [0x10001, 0x20002, 0x20003, 0x30003, 0x1FFFF], 99)
    rows = cells.view(EXECUTION).reshape(-1)
    told = [
        tuple(int(row[name]) for name in ("kind", "exec_type", "ord_status", "cl_ord_id", "orig_cl_ord_id"))
        for row in rows
    ]
    assert told == [
        (FrameKind.EXECUTION, ExecType.REJECTED, OrdStatus.REJECTED, 0x10001, 0),
        (FrameKind.CANCEL_REJECT, ExecType.PENDING_REPLACE, OrdStatus.NEW, 0x20002, 0x10002),
        (FrameKind.CANCEL_REJECT, ExecType.PENDING_CANCEL, OrdStatus.PARTIALLY_FILLED, 0x20003, 0x10003),
    ]
    assert {(int(row["session"]), int(row["reason"]), int(row["recv_ns"])) for row in rows} == {(6, REASON_OTHER, 99)}
    assert int(rows[0]["instrument"]) == 2


def test_no_module_but_one_maps_sessions() -> None:
    """SessionSettings of the daemon are made in one place, so that no key is read twice differently."""
    root = Path(__file__).resolve().parents[2] / "engine"
    users = {
        path.name
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "SessionSettings"
    }
    assert users == {"sessions.py"}


def test_a_profile_with_everything_is_accepted_end_to_end() -> None:
    text = (
        '[[sessions]]\nname = "S"\nvenue = "V"\nport = 1\nsender_comp_id = "A"\ntarget_comp_id = "B"\n'
        'begin_string = "FIXT.1.1"\nnext_expected_msg_seq_num = true\nresend_chunk_size = 500\n'
        "[sessions.validation]\nenabled = true\nstrict = true\n"
        "[sessions.schedule]\nenabled = true\nweekdays = ['mon']\n"
    )
    [config] = load_text(text, environ={}).sessions
    parts = build_session(config)
    assert parts.validator is not None and parts.schedule.days == ("mon",)
