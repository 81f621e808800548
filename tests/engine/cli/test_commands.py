"""The command line against a control socket: what is asked, what is printed, how it exits."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.cli.app import status_of
from engine.cli.client import request
from engine.cli.exits import CliError, ExitCode
from tests.engine.cli.stand_in import STATUS, ok, refused, stand_in


@pytest.fixture(autouse=True)
def _wide_plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("AXIOM_CONFIG", raising=False)


def test_exit_codes_are_what_scripts_rely_on() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0, "ERROR": 1, "NOT_FOUND": 2, "NOT_RUNNING": 3, "CONFIG": 4, "TIMEOUT": 5,
    }  # fmt: skip


def test_commands_are_what_people_rely_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["--help"]) == 0
    text = capsys.readouterr().out
    for name in ("demo", "run", "sim", "status", "limits", "halt", "resume", "kill", "rearm", "stop", "replay",
                 "config", "doctor", "latency", "bench", "greeks", "surface"):  # fmt: skip
        assert f"\n  {name} " in text


def test_the_program_starts_without_the_compiler() -> None:
    """``axiom status`` must answer at once: numba is imported by the commands that use it, when they run."""
    program = "import sys, engine.cli.app; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "verb", [["status"], ["stop"], ["halt", "firm"], ["kill", "--reason", "x"], ["limits", "show"], ["latency"]]
)
def test_without_a_daemon_a_verb_says_so(verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = status_of([*verb, "--state-dir", str(tmp_path), "--json"])
    document = json.loads(capsys.readouterr().out)
    if verb[0] == "limits":  # what the profile asks for can be shown without one
        assert (code, document["result"]["source"]) == (0, "profile")
        return
    assert code == document["code"] == ExitCode.NOT_RUNNING
    assert str(tmp_path) in document["error"]


def test_stale_socket_of_a_killed_daemon_is_not_running(tmp_path: Path) -> None:
    with stand_in(tmp_path):
        os.link(tmp_path / "control.sock", tmp_path / "left")
    os.rename(tmp_path / "left", tmp_path / "control.sock")
    assert status_of(["status", "--state-dir", str(tmp_path)]) == ExitCode.NOT_RUNNING


def test_status_prints_the_document_as_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stand_in(tmp_path):
        assert status_of(["status", "--state-dir", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_status_for_people_names_state_and_quotes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stand_in(tmp_path):
        assert status_of(["status", "--state-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "ACTIVE" in text
    assert "12 / 20" in text


@pytest.mark.parametrize(
    ("command", "verb", "args"),
    [
        (["halt", "session:OPT", "--reason", "r"], "halt", {"scope": "session:OPT", "reason": "r"}),
        (["resume", "firm"], "resume", {"scope": "firm", "reason": "no reason given"}),
        (["kill", "--reason", "r"], "kill", {"reason": "r"}),
        (["rearm", "--reason", "r"], "rearm", {"reason": "r"}),
        (["arm"], "arm", {"reason": "no reason given"}),
        (
            ["limits", "set", "max_order_qty", "7", "--reason", "r"],
            "limits.set",
            {"name": "max_order_qty", "value": 7.0, "reason": "r"},
        ),
    ],
)
def test_verb_goes_over_the_socket(
    command: list[str], verb: str, args: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {verb.replace(".", "__"): ok({"scope": "firm", "old": 5.0, "new": 7.0})}
    with stand_in(tmp_path, **answers) as daemon:
        assert status_of([*command, "--state-dir", str(tmp_path), "--json"]) == 0
    assert daemon.asked == [{"v": 1, "verb": verb, "args": args}]
    assert json.loads(capsys.readouterr().out)["ok"] is True


@pytest.mark.parametrize("code", [1, 2, 4, 5])
def test_refusal_is_printed_and_its_code_is_the_exit_code(
    code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stand_in(tmp_path, halt=refused(code, "there is no session NONE; known: OPT, EQ")):
        assert status_of(["halt", "session:NONE", "--state-dir", str(tmp_path)]) == code
    captured = capsys.readouterr()
    assert "known: OPT, EQ" in captured.err
    assert captured.out == ""


def test_kill_and_limit_need_a_reason(tmp_path: Path) -> None:
    with stand_in(tmp_path) as daemon:
        assert status_of(["kill", "--state-dir", str(tmp_path)]) == ExitCode.ERROR
        assert status_of(["limits", "set", "x", "1", "--reason", " ", "--state-dir", str(tmp_path)]) == ExitCode.ERROR
    assert daemon.asked == []


def test_stop_waits_until_the_process_has_gone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def stopping(_args: dict[str, Any]) -> dict[str, Any]:
        assert child.stdin is not None
        child.stdin.close()
        return {"ok": True, "result": {"stopping": True}}

    with stand_in(tmp_path, status=ok(STATUS | {"pid": child.pid}), stop=stopping) as daemon:
        assert status_of(["stop", "--mode", "cancel", "--state-dir", str(tmp_path)]) == 0
    assert daemon.asked[-1]["args"]["mode"] == "cancel"
    assert child.wait() is not None


def test_stop_of_a_daemon_that_stays_times_out(tmp_path: Path) -> None:
    answers = {"status": ok(STATUS | {"pid": os.getpid()}), "stop": ok({"stopping": True})}
    with stand_in(tmp_path, **answers):
        assert status_of(["stop", "--timeout", "0.2", "--state-dir", str(tmp_path)]) == ExitCode.TIMEOUT


def test_usage_error_is_an_error_and_not_a_not_found() -> None:
    assert status_of(["no-such-command"]) == ExitCode.ERROR
    assert status_of(["status", "--no-such-option"]) == ExitCode.ERROR


def test_config_check_reports_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "p.toml"
    profile.write_text("[risk.limits]\nmax_ordr_qty = 5\n")
    assert status_of(["config", "check", "--config", str(profile)]) == ExitCode.CONFIG
    assert f"{profile}:2: risk.limits.max_ordr_qty is not a known name; did you mean max_order_qty?" in (
        capsys.readouterr().err
    )
    assert status_of(["config", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert status_of(["config", "check", str(profile)]) == ExitCode.CONFIG
    assert status_of(["config", "show", str(profile), "--config", str(profile)]) == ExitCode.ERROR
    assert "give one profile" in capsys.readouterr().err


def test_every_key_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["config", "explain", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["result"]
    assert {"engine.loop_mode", "sessions[].port", "simulator.venues[].clients[].comp_id"} <= {
        row["key"] for row in rows
    }
    assert [row["key"] for row in rows if not row["about"]] == []
    assert status_of(["config", "explain", "theo.devise"]) == ExitCode.NOT_FOUND
    assert "did you mean theo.device?" in capsys.readouterr().err


def test_unknown_venue_of_sim_is_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["sim", "--venue", "NONE"]) == ExitCode.NOT_FOUND
    assert "known: OPT, EQ" in capsys.readouterr().err


def test_replay_of_nothing_is_not_found(tmp_path: Path) -> None:
    assert status_of(["replay", str(tmp_path / "absent"), "--verify"]) == ExitCode.NOT_FOUND
    assert status_of(["replay", str(tmp_path), "--verify"]) == ExitCode.NOT_FOUND  # a directory without a run


def test_daemon_without_sessions_is_not_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "p.toml"
    profile.write_text("[engine]\n")
    assert status_of(["run", "--config", str(profile), "--state-dir", str(tmp_path / "run")]) == ExitCode.CONFIG
    assert "no [[sessions]]" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_socket_with_a_path_too_long_for_the_kernel_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    short = tmp_path / "s"
    short.symlink_to(deep)
    with stand_in(short):
        assert request(deep / "control.sock", "status")["run"] == 3


def test_answer_of_another_protocol_is_an_error(tmp_path: Path) -> None:
    with stand_in(tmp_path, status=lambda _args: {"unexpected": 1}), pytest.raises(CliError, match="another version"):
        request(tmp_path / "control.sock", "status")


def test_file_that_cannot_be_written_is_named_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "configuration.md"
    taken.mkdir()
    assert status_of(["reference", str(tmp_path)]) == ExitCode.ERROR
    assert f"{taken} cannot be used (Is a directory)" in capsys.readouterr().err
