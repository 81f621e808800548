"""Profiles: what is accepted, and what is said of what is not."""

from pathlib import Path

import pytest

import config
from config import ConfigError, load, load_text
from config.checks import nearest
from config.schema import EngineConfig

DEMO = Path(config.__file__).parent / "profiles" / "demo.toml"

SESSION = """
[[sessions]]
name = "OPT"
venue = "OPT"
port = 9001
sender_comp_id = "A"
target_comp_id = "B"
"""


def problems(text: str, **options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "p.toml", environ={}, **options)  # type: ignore[arg-type]
    return [str(problem) for problem in caught.value.problems]


def test_demo_profile_loads_and_its_ends_meet() -> None:
    profile = load(DEMO, environ={})
    venues = {venue.name: venue for venue in profile.simulator.venues}
    assert {session.role for session in profile.trading.values()} == {"options", "underlying"}
    assert {session.venue for session in profile.sessions if session.role == "drop_copy"} == set(venues)
    for session in profile.sessions:
        venue = venues[session.venue]
        assert session.port == venue.port
        assert session.target_comp_id == venue.comp_id
        trades = session.role != "drop_copy"
        assert profile.market_data_path(session) == (profile.ring_path(venue.name) if trades else None)


def test_empty_text_is_all_defaults() -> None:
    assert load_text("", environ={}).engine == EngineConfig()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[engine]\nlop_mode = 'park'\n", "p.toml:2: engine.lop_mode is not a known key; did you mean loop_mode?"),
        ("[qoting]\nsize = 5\n", "p.toml:1: qoting is not a known section; did you mean quoting?"),
        (
            "[engine]\n\nmax_orders = -5\n",
            "p.toml:3: engine.max_orders must be an integer in 16..65535, was -5",
        ),
        ("[engine]\nmax_orders = 15\n", "p.toml:2: engine.max_orders must be an integer in 16..65535, was 15"),
        (
            "[engine]\nmax_orders = 65536\n",
            "p.toml:2: engine.max_orders must be an integer in 16..65535, was 65536",
        ),
        (
            "[engine]\nmax_orders = 'five'\n",
            "p.toml:2: engine.max_orders must be an integer in 16..65535, was 'five'",
        ),
        (
            "[engine]\nmax_orders = 5.5\n",
            "p.toml:2: engine.max_orders must be an integer in 16..65535, was 5.5",
        ),
        (
            "[engine]\nmax_orders = true\n",
            "p.toml:2: engine.max_orders must be an integer in 16..65535, was true",
        ),
        ("[quoting]\nenabled = 1\n", "p.toml:2: quoting.enabled must be true or false, was 1"),
        ("[theo]\nrefresh_spot_bp = 0\n", "p.toml:2: theo.refresh_spot_bp must be a number above 0 up to 1000, was 0"),
        ("[theo]\nrate = nan\n", "p.toml:2: theo.rate must be a number in -0.1..0.5, was nan"),
        ("[theo]\nrate = inf\n", "p.toml:2: theo.rate must be a number in -0.1..0.5, was inf"),
        (
            "[engine]\nloop_mode = 'fast'\n",
            "p.toml:2: engine.loop_mode must be one of auto, spin, poll, park, was 'fast'",
        ),
        ("engine = 3\n", "p.toml:1: engine must be a table, was 3"),
        ("sessions = 3\n", "p.toml:1: sessions must be an array of tables ([[sessions]]), was 3"),
        ("[engine]\nx = = 3\n", "p.toml:2: is not TOML: Invalid value at column 5"),
        ("[risk]\nlimits = { max_order_qty = 'x' }\n", "p.toml:2: risk.limits.max_order_qty must be a number, was 'x'"),
    ],
)
def test_fault_is_told_with_line_bound_and_mend(text: str, expected: str) -> None:
    assert expected in problems(text)


def test_bounds_themselves_are_accepted() -> None:
    assert load_text("[engine]\nmax_orders = 16\n", environ={}).engine.max_orders == 16
    assert load_text("[engine]\nmax_orders = 65535\n", environ={}).engine.max_orders == 65_535


def test_integer_is_taken_where_a_number_is_wanted() -> None:
    band = load_text("[theo]\nrefresh_spot_bp = 150\n", environ={}).theo.refresh_spot_bp
    assert isinstance(band, float)
    assert band == 150.0


def test_every_fault_is_reported_at_once() -> None:
    found = problems("[engine]\nmax_orders = -1\n[quoting]\nbad = 1\n[theo]\nrate = 9\n")
    assert sorted(line.split(":")[1] for line in found) == ["2", "4", "6"]


def test_missing_key_names_the_entry_and_what_it_wants() -> None:
    found = problems(SESSION.replace("port = 9001\n", ""))
    assert found == ["p.toml:2: sessions[0] lacks the key port (an integer in 1..65535)"]


def test_fault_in_second_entry_of_an_array_has_its_own_line() -> None:
    second = SESSION.replace('"OPT"', '"EQ"').replace("9001", "70000").replace('"A"', '"C"')
    assert problems(SESSION + second) == ["p.toml:12: sessions[1].port must be an integer in 1..65535, was 70000"]


def test_unreadable_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read .*config/profiles/demo.toml"):
        load(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(tmp_path / "binary.toml")


# -- layers -------------------------------------------------------------------------------------


def test_environment_overrides_file_and_option_overrides_environment() -> None:
    text = "[simulator]\nseed = 1\n"
    environ = {"AXIOM__SIMULATOR__SEED": "2", "UNRELATED": "x"}
    assert load_text(text, environ=environ).simulator.seed == 2
    assert load_text(text, environ=environ, overrides={"simulator.seed": 3}).simulator.seed == 3


def test_environment_reaches_an_array_entry_by_name_or_number() -> None:
    assert load_text(SESSION, environ={"AXIOM__SESSIONS__OPT__PORT": "77"}).sessions[0].port == 77
    assert load_text(SESSION, environ={"AXIOM__SESSIONS__0__HOST": "venue.example"}).sessions[0].host == "venue.example"


def test_fault_in_environment_names_the_variable() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("", environ={"AXIOM__ENGINE__LOP_MODE": "park", "AXIOM__SESSIONS__NONE__PORT": "1"})
    text = str(caught.value)
    assert "environment AXIOM__ENGINE__LOP_MODE: engine.lop_mode is not a known key; did you mean loop_mode?" in text
    assert "environment AXIOM__SESSIONS__NONE__PORT" in text


# -- between keys ---------------------------------------------------------------------------------


def test_names_of_sessions_are_unique() -> None:
    assert any("sessions[1].name must be unique" in line for line in problems(SESSION + SESSION))


def test_session_must_lead_to_a_simulated_venue_that_knows_it() -> None:
    venue = """
[[simulator.venues]]
name = "OPT"
kind = "options"
comp_id = "B"
port = 9001
clients = [{ comp_id = "%s" }]
"""
    assert load_text(SESSION + venue % "A", environ={}).sessions[0].venue == "OPT"
    assert any("must be a client of venue OPT (Z), was 'A'" in line for line in problems(SESSION + venue % "Z"))
    elsewhere = SESSION.replace('venue = "OPT"', 'venue = "NOWHERE"')
    assert any("must be one of OPT, was 'NOWHERE'" in line for line in problems(elsewhere + venue % "A"))


@pytest.mark.parametrize(("slots", "good"), [(255, False), (256, True), (1000, False), (1024, True)])
def test_ring_slots_are_a_power_of_two(slots: int, good: bool) -> None:
    text = f"""
[[simulator.venues]]
name = "V"
kind = "options"
comp_id = "B"
port = 9001
clients = []
ring_slots = {slots}
"""
    if good:
        assert load_text(text, environ={}).simulator.venues[0].ring_slots == slots
    else:
        assert any("ring_slots must be" in line for line in problems(text))


def test_the_two_processes_may_not_share_a_directory(tmp_path: Path) -> None:
    text = f"[engine]\nstate_dir = '{tmp_path}'\n[simulator]\nstate_dir = '{tmp_path}'\n"
    assert any("simulator.state_dir must differ" in line for line in problems(text))


def test_state_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    found = problems(f"[engine]\nstate_dir = '{tmp_path}/file/run'\n")
    assert found == [f"p.toml:2: engine.state_dir must be a directory, but {tmp_path}/file is a file"]


BOUNDS = {"risk.limits": {"max_order_qty": (0.0, 100.0), "max_open_orders": (0.0, 10.0)}}


@pytest.mark.parametrize(("value", "good"), [(-1, False), (0, True), (100, True), (101, False)])
def test_limit_is_checked_against_its_range(value: float, good: bool) -> None:
    text = f"[risk.limits]\nmax_order_qty = {value}\n"
    if good:
        assert load_text(text, environ={}, tables=BOUNDS).risk.limits == {"max_order_qty": value}
    else:
        expected = [f"p.toml:2: risk.limits.max_order_qty must be in 0..100, was {value}"]
        assert problems(text, tables=BOUNDS) == expected


def test_unknown_limit_suggests_the_nearest() -> None:
    found = problems("[risk.limits]\nmax_ordr_qty = 1\n", tables=BOUNDS)
    assert found == ["p.toml:2: risk.limits.max_ordr_qty is not a known name; did you mean max_order_qty?"]


def test_nearest_offers_nothing_for_a_word_like_no_other() -> None:
    assert nearest("zzz", ["loop_mode", "state_dir"]) is None


# -- derived ----------------------------------------------------------------------------------------


def test_rings_of_two_state_directories_do_not_meet() -> None:
    one = load_text("[engine]\nstate_dir = '/a'\n", environ={})
    other = load_text("[engine]\nstate_dir = '/b'\n", environ={})
    assert one.runtime_dir != other.runtime_dir
    assert one.ring_path("V").parent == one.runtime_dir


def test_digest_follows_every_value() -> None:
    base = load_text("", environ={})
    assert base.digest() == load_text("", environ={}).digest()
    assert base.digest() != load_text("[engine]\nmax_orders = 600\n", environ={}).digest()
    assert 0 <= base.digest() < 2**64
