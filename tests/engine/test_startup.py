"""What a start takes over from the run before, and what from the profile."""

from pathlib import Path

import msgspec
import pytest

from config.schema import AxiomConfig, EngineConfig, QuotingConfig, RiskConfig
from engine.errors import StateDirectoryError
from engine.startup import Run, StateLock, open_run, tightened_limits
from risk.errors import RiskError
from risk.limits import Limit
from strategies.errors import ParamError
from strategies.quoting import QuotingParam


def profile(directory: Path, **limits: float) -> AxiomConfig:
    engine = EngineConfig(
        state_dir=str(directory), max_instruments=8, max_orders=16, journal_segment_mib=8, journal_min_free_mib=1
    )
    return AxiomConfig(engine=engine, sessions=(), risk=RiskConfig(limits=limits))


def start(config: AxiomConfig) -> Run:
    run = open_run(config)
    run.journal.close()
    return run


def stop_with(run: Run, limit: Limit, value: float) -> None:
    """The run ends with a limit that an operator has changed."""
    from engine import snapshot

    run.engine.risk.limits[limit] = value
    snapshot.save(run.engine, run.directory / "snapshot-000000000000.npz", run.number, 0)


def test_runs_are_numbered_and_each_opens_with_a_snapshot(tmp_path: Path) -> None:
    first, second = start(profile(tmp_path)), start(profile(tmp_path))
    assert (first.number, second.number) == (1, 2)
    assert (second.directory / "start.npz").exists() and second.directory.name == "000002"


def test_tightened_limit_survives_a_restart_and_is_told(tmp_path: Path) -> None:
    stop_with(start(profile(tmp_path, max_order_qty=50)), Limit.MAX_ORDER_QTY, 3)
    for _ in range(2):
        run = start(profile(tmp_path, max_order_qty=50))
        assert run.engine.risk.limits[Limit.MAX_ORDER_QTY] == 3
        assert [text.split()[1] for text in tightened_limits(run.engine)] == ["max_order_qty"]


def test_loosened_limit_goes_back_to_the_profile(tmp_path: Path) -> None:
    stop_with(start(profile(tmp_path, max_order_qty=50)), Limit.MAX_ORDER_QTY, 80)
    run = start(profile(tmp_path, max_order_qty=50))
    assert run.engine.risk.limits[Limit.MAX_ORDER_QTY] == 50 and not tightened_limits(run.engine)


def test_profile_that_changed_its_mind_wins_over_the_operator(tmp_path: Path) -> None:
    stop_with(start(profile(tmp_path, max_order_qty=50)), Limit.MAX_ORDER_QTY, 3)
    assert start(profile(tmp_path, max_order_qty=20)).engine.risk.limits[Limit.MAX_ORDER_QTY] == 20


def test_second_owner_of_a_state_directory_is_refused_by_pid(tmp_path: Path) -> None:
    import os

    lock = StateLock(tmp_path)
    with pytest.raises(StateDirectoryError, match=f"pid {os.getpid()}.*axiom stop"):
        StateLock(tmp_path)
    lock.release()
    StateLock(tmp_path).release()


def test_unknown_limit_and_parameter_are_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RiskError, match="did you mean max_order_qty"):
        open_run(profile(tmp_path / "a", max_ordr_qty=5))
    config = msgspec.structs.replace(profile(tmp_path / "b"), quoting=QuotingConfig(params={"gama": 1.0}))
    with pytest.raises(ParamError, match="did you mean gamma"):
        open_run(config)


def test_quoting_parameter_of_the_profile_reaches_the_step(tmp_path: Path) -> None:
    config = msgspec.structs.replace(profile(tmp_path), quoting=QuotingConfig(params={"lot": 7.0}))
    assert start(config).engine.quoting[QuotingParam.LOT] == 7
