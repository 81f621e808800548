"""The doctor finds what is wrong and says how to mend it."""

import json
import socket
from pathlib import Path

import pytest

from config import AxiomConfig
from config.schema import EngineConfig, SimulatorConfig, VenueConfig
from engine.cli.app import status_of
from engine.cli.doctor import Finding, examine


def find(config: AxiomConfig, name: str) -> Finding:
    return next(finding for finding in examine(config) if finding.name == name)


def healthy(tmp_path: Path, **engine: object) -> AxiomConfig:
    settings = {"state_dir": str(tmp_path / "run"), "journal_min_free_mib": 1, "journal_segment_mib": 1} | engine
    return AxiomConfig(
        engine=EngineConfig(**settings),  # type: ignore[arg-type]
        simulator=SimulatorConfig(state_dir=str(tmp_path / "sim")),
    )


def test_every_fault_has_a_mend_and_every_check_a_finding(tmp_path: Path) -> None:
    findings = list(examine(healthy(tmp_path)))
    assert {"python", "kernels", "cores", "shared memory", "state directory", "simulator directory", "open files",
            "daemon"} == {finding.name for finding in findings}  # fmt: skip
    assert all(finding.found for finding in findings)
    assert all(finding.mend for finding in findings if finding.grade != "ok")


def test_state_directory_that_cannot_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = find(healthy(tmp_path, state_dir=str(tmp_path / "file" / "run")), "state directory")
    assert finding.grade == "fail"
    assert "not a directory" in finding.found


def test_disk_without_room_fails(tmp_path: Path) -> None:
    finding = find(healthy(tmp_path, journal_min_free_mib=1_048_576), "state directory")
    assert finding.grade == "fail"
    assert "make room" in finding.mend


def test_spin_without_cores_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    assert find(healthy(tmp_path, loop_mode="spin"), "cores").grade == "fail"
    assert find(healthy(tmp_path, loop_mode="auto"), "cores").grade == "ok"
    assert find(healthy(tmp_path, pin_step_core=5), "cores").grade == "fail"


def test_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        venue = VenueConfig(name="V", kind="options", comp_id="V", port=port, clients=())
        config = AxiomConfig(engine=healthy(tmp_path).engine, simulator=SimulatorConfig(venues=(venue,)))
        assert find(config, "port of V").grade == "warn"


def test_report_is_machine_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "p.toml"
    profile.write_text(f"[engine]\nstate_dir = '{tmp_path}/run'\njournal_min_free_mib = 1048576\n")
    assert status_of(["doctor", "--config", str(profile), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert [row["name"] for row in document["result"] if row["grade"] == "fail"] == [
        "state directory",
        "simulator directory",
    ]
