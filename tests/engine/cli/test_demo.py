"""The demo before and after: its configuration, ports and state, and the independent count."""

import socket
from pathlib import Path

import pytest

from config import load_text
from config.dump import to_toml
from engine.cli.app import status_of
from engine.cli.demo.checks import all_checks
from engine.cli.demo.command import parse_duration
from engine.cli.demo.preparation import clear_state, demo_config, with_free_ports, write_effective
from engine.cli.exits import CliError, ExitCode
from tests.engine.cli.stand_in import stand_in


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("60s", 60.0), ("90", 90.0), ("1.5m", 90.0), ("2h", 7200.0), (" 5 S ", 5.0)]
)
def test_duration(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["0", "0s", "-5s", "5d", "s", "five"])
def test_duration_that_is_none(text: str) -> None:
    with pytest.raises(CliError, match="--for must be"):
        parse_duration(text)


def test_wishes_reach_the_configuration(tmp_path: Path) -> None:
    quotes = tmp_path / "quotes.zip"
    quotes.touch()
    config = demo_config(None, tmp_path, market=f"replay:{quotes}", seed=11, speed=60.0)
    assert (config.simulator.seed, config.simulator.speed) == (11, 60.0)
    assert config.simulator.market == f"replay:{quotes}"
    assert config.state_dir == tmp_path / "run"
    assert config.simulator_dir == tmp_path / "sim"


def test_absent_quote_file_is_not_found(tmp_path: Path) -> None:
    code = status_of(["demo", "--market", f"replay:{tmp_path}/none.zip", "--state-dir", str(tmp_path)])
    assert code == ExitCode.NOT_FOUND


@pytest.mark.parametrize("options", [["--speed", "0"], ["--seed", "-1"], ["--market", "tape"]])
def test_option_out_of_range_is_a_config_error(options: list[str], tmp_path: Path) -> None:
    assert status_of(["demo", *options, "--state-dir", str(tmp_path)]) == ExitCode.CONFIG


def test_taken_port_is_replaced_at_both_ends(tmp_path: Path) -> None:
    config = demo_config(None, tmp_path, market=None, seed=None, speed=None)
    venue = config.simulator.venues[0]
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a demo before may still fade
        try:
            holder.bind((venue.host, venue.port))
        except OSError:
            pytest.skip(f"port {venue.port} is taken by another program")
        holder.listen()
        moved = with_free_ports(config)
    assert moved.simulator.venues[0].port != venue.port
    assert moved.sessions[0].port == moved.simulator.venues[0].port
    assert moved.sessions[1].port == config.sessions[1].port


def test_effective_profile_is_the_configuration(tmp_path: Path) -> None:
    config = demo_config(None, tmp_path, market=None, seed=5, speed=None)
    path = write_effective(config)
    assert load_text(path.read_text(), environ={}) == config
    assert to_toml(config) in path.read_text()


def test_state_of_an_earlier_demo_is_set_aside_once(tmp_path: Path) -> None:
    config = demo_config(None, tmp_path, market=None, seed=None, speed=None)
    for content in ("first", "second"):
        write_effective(config)
        config.simulator_dir.mkdir()
        (config.state_dir / "mark").write_text(content)
        clear_state(config)
    assert not config.state_dir.exists()
    assert (tmp_path / "run.previous" / "mark").read_text() == "second"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.previous", "sim.previous"]


def test_state_that_no_demo_made_is_never_overwritten(tmp_path: Path) -> None:
    config = demo_config(None, tmp_path, market=None, seed=None, speed=None)
    for content in ("first", "second"):
        config.state_dir.mkdir()
        (config.state_dir / "journal").write_text(content)
        clear_state(config)
    kept = sorted(path.read_text() for path in tmp_path.glob("run.kept-*/journal"))
    assert kept == ["first", "second"]


def test_demo_on_a_directory_with_a_daemon_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stand_in(tmp_path / "run"):
        assert status_of(["demo", "--for", "1s", "--state-dir", str(tmp_path)]) == ExitCode.ERROR
    assert "is running on" in capsys.readouterr().err
    assert not list(tmp_path.glob("run.*"))


def test_checks_fail_where_nothing_can_be_checked(tmp_path: Path) -> None:
    config = demo_config(None, tmp_path, market=None, seed=None, speed=None)
    found = {check["name"]: check["ok"] for check in all_checks(config, {}, {"daemon": -9, "simulator": 0})}
    assert found["daemon ended in order"] is False
    assert found["simulator ended in order"] is True
    assert found["final status"] is False
    assert found["replay"] is False
