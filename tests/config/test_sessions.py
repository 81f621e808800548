"""Keys of a session: what goes together, what does not, and how little a new venue needs."""

import pytest

from config import ConfigError, load_text
from config.dump import to_toml
from config.sessionchecks import check_sessions

TEN_LINES = """
[[sessions]]
name = "BANK"
venue = "BANK"
host = "fix.bank.example"
port = 9878
sender_comp_id = "AXIOM"
target_comp_id = "BANKFIX"
username = "axiom"
password_env = "BANK_PASSWORD"
tls.enabled = true
"""


def session(**keys: object) -> str:
    values = {"name": "S", "venue": "V", "port": 9001, "sender_comp_id": "US", "target_comp_id": "THEM", **keys}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "[[sessions]]\n" + "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "p.toml", environ={})
    return [f"{problem.key} {problem.text}" for problem in caught.value.problems]


def test_a_new_venue_takes_ten_lines() -> None:
    [bank] = load_text(TEN_LINES, environ={}).sessions
    assert len(TEN_LINES.strip().splitlines()) == 10
    assert (bank.tls.enabled, bank.tls.verify_hostname, bank.begin_string) == (True, True, "FIX.4.4")


def test_every_key_survives_being_written_out_and_read_again() -> None:
    text = session(alternates=["a:1", "b:2"], logon_fields=["8013=S"], begin_string="FIXT.1.1") + (
        "[sessions.schedule]\nenabled = true\ntime_zone = 'America/New_York'\nweekdays = ['mon', 'fri']\n"
        "[sessions.throttle]\nmessages = 100\nreserve_for_cancels = 99\n"
    )
    config = load_text(text, environ={})
    assert load_text(to_toml(config), environ={}) == config
    assert config.sessions[0].schedule.weekdays == ("mon", "fri")


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"begin_string": "FIX.4.0", "reset_on_logon": True},
         "sessions[0].reset_on_logon needs begin_string FIX.4.1 or later, was FIX.4.0"),
        ({"begin_string": "FIX.4.3", "next_expected_msg_seq_num": True},
         "sessions[0].next_expected_msg_seq_num needs begin_string FIX.4.4 or later, was FIX.4.3"),
        ({"begin_string": "FIX.4.1", "last_msg_seq_num_processed": True},
         "sessions[0].last_msg_seq_num_processed needs begin_string FIX.4.2 or later, was FIX.4.1"),
        ({"begin_string": "FIX.4.3", "timestamp_precision": "micros"},
         "sessions[0].timestamp_precision micros needs begin_string FIX.4.4 or FIXT.1.1, was FIX.4.3"),
        ({"disconnect_after": 1.2},
         "sessions[0].disconnect_after must be above test_request_after (1.2), was 1.2"),
        ({"reconnect_min_ms": 200, "reconnect_max_ms": 199},
         "sessions[0].reconnect_max_ms must be at least reconnect_min_ms (200), was 199"),
        ({"password_file": "a", "password_env": "B"},
         "sessions[0].password_env must not be given beside password_file: name one place"),
        ({"logon_fields": ["554=secret"]},
         "sessions[0].logon_fields must not hold tag 554, which the session writes itself; use password_file or "
         "password_env"),
        ({"logon_fields": ["34=1"]},
         "sessions[0].logon_fields must not hold tag 34, which the session writes itself; leave it out"),
        ({"throttle.messages": 50, "throttle.reserve_for_cancels": 50},
         "sessions[0].throttle.reserve_for_cancels must be below messages (50), was 50"),
        ({"schedule.start_day": "mon"},
         "sessions[0].schedule.end_day must be given too: a weekly session has both days"),
        ({"schedule.start_day": "mon", "schedule.end_day": "fri", "schedule.weekdays": ["mon"]},
         "sessions[0].schedule.weekdays must not be given beside start_day: a session is daily or weekly"),
        ({"schedule.time_zone": "Mars/Olympus"},
         "sessions[0].schedule.time_zone must be an IANA zone such as America/New_York, was 'Mars/Olympus'"),
        ({"schedule.holidays": ["2026-02-29"]},
         "sessions[0].schedule.holidays must hold dates that exist, had 2026-02-29"),
        ({"schedule.holidays": ["2026-12-25"], "schedule.half_days": ["2026-12-25 12:00"]},
         "sessions[0].schedule.half_days must not name 2026-12-25 again: a date stands once in holidays and half_days"),
        ({"schedule.start_time": "09:30", "schedule.end_time": "16:00", "schedule.half_days": ["2026-11-27 16:00"]},
         "sessions[0].schedule.half_days must end after 09:30:00 and before 16:00:00 on 2026-11-27, was 16:00:00"),
        ({"schedule.start_day": "sun", "schedule.end_day": "fri", "schedule.end_time": "17:00",
          "schedule.half_days": ["2026-11-27 18:00"]},
         "sessions[0].schedule.half_days must end after 00:00:00 and before 17:00:00 on 2026-11-27, was 18:00:00"),
        ({"schedule.holidays": ["25.12.2026"]},
         "sessions[0].schedule.holidays[0] must be a string matching "
         "^[0-9]{4}-[0-9]{2}-[0-9]{2}$, was '25.12.2026'"),
        ({"tls.enabled": True, "tls.key_file": "k"},
         "sessions[0].tls.certificate_file must be given too: a key without its certificate proves nothing"),
        ({"tls.certificate_file": "c"}, "sessions[0].tls.enabled must be true: a certificate is given"),
        ({"engine": "quickfix", "tls.enabled": True},
         'sessions[0].tls.enabled must be false with engine = "quickfix", whose public builds have no TLS'),
        ({"engine": "quickfix", "validation.enabled": True, "validation.strict": True},
         'sessions[0].validation.strict must be false with engine = "quickfix", which has no such switch'),
        ({"engine": "quickfix", "validation.enabled": True, "validation.check_required": False},
         'sessions[0].validation.check_required must be true with engine = "quickfix", which always checks it'),
        ({"role": "drop_copy"},
         "sessions[0].venue must be that of a session that trades, was 'V': there is nothing to check"),
        ({"alternates": ["nowhere"]},
         r"sessions[0].alternates[0] must be a string matching ^[A-Za-z0-9_.:\[\]-]+:[0-9]{1,5}$, was 'nowhere'"),
        ({"alternates": "a:1"},
         r"sessions[0].alternates must be an array, each a string matching ^[A-Za-z0-9_.:\[\]-]+:[0-9]{1,5}$, "
         "was 'a:1'"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(keys: dict[str, object], found: str) -> None:
    assert problems(session(**keys)) == [found]


@pytest.mark.parametrize(
    "keys",
    [
        {"begin_string": "FIX.4.1", "reset_on_logon": True},
        {"begin_string": "FIX.4.4", "next_expected_msg_seq_num": True, "timestamp_precision": "nanos"},
        {"begin_string": "FIX.4.2", "last_msg_seq_num_processed": True},
        {"disconnect_after": 1.3},
        {"throttle.messages": 50, "throttle.reserve_for_cancels": 49},
        {"schedule.start_day": "sun", "schedule.end_day": "fri"},
        {"schedule.holidays": ["2026-12-25", "2027-01-01"], "schedule.half_days": ["2026-12-24 13:00"]},
        {"schedule.start_time": "22:00", "schedule.end_time": "06:00", "schedule.half_days": ["2026-12-24 23:30:15"]},
        {"engine": "quickfix", "throttle.messages": 5, "schedule.enabled": True, "validation.enabled": True},
        {"engine": "quickfix", "validation.strict": True},
        {"logon_fields": ["8013=S", "58=a = b"]},
    ],
)
def test_what_goes_together_is_taken(keys: dict[str, object]) -> None:
    assert list(check_sessions(load_text(session(**keys), environ={}))) == []


SIMULATED = """
[[simulator.venues]]
name = "V"
kind = "options"
comp_id = "THEM"
port = 9001
[[simulator.venues.clients]]
comp_id = "US"
[[simulator.venues.drop_copies]]
comp_id = "US-DC"
clients = ["US"]
"""


def test_a_drop_copy_must_be_one_that_the_simulated_venue_gives() -> None:
    copy = session(name="C", role="drop_copy", sender_comp_id="US-DC")
    config = load_text(session() + copy + SIMULATED, environ={})
    assert list(config.trading) == [0]
    wrong = session(name="C", role="drop_copy", sender_comp_id="OTHER")
    assert problems(session() + wrong + SIMULATED) == [
        "sessions[1].sender_comp_id must be a drop copy of venue V (US-DC), was 'OTHER'"
    ]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('comp_id = "US-DC"', 'comp_id = "US"', "drop_copies[0].comp_id must differ from every client's, was 'US'"),
        ('clients = ["US"]', 'clients = ["HER"]', "drop_copies[0].clients must be clients of venue V (US), was 'HER'"),
    ],
)
def test_a_simulated_drop_copy_is_of_clients_and_no_client_itself(old: str, new: str, found: str) -> None:
    assert problems(SIMULATED.replace(old, new)) == [f"simulator.venues[0].{found}"]


def test_the_simulated_venue_speaks_one_version_and_no_tls() -> None:
    found = problems(session(begin_string="FIX.4.2", **{"tls.enabled": True}) + SIMULATED)
    assert found == [
        "sessions[0].begin_string must be FIX.4.4, which the simulated venue speaks, was FIX.4.2",
        "sessions[0].tls.enabled must be false: the simulated venue V has no TLS",
    ]
