"""Recorded files cut at a minute: what is in the arrays, and what is said when they cannot be had."""

from datetime import date, time
from pathlib import Path

import numpy as np
import pytest

from engine.cli.chainfile import load_chain, load_chains, parse_clock
from engine.cli.exits import CliError, ExitCode
from market.calendar import NS_PER_YEAR, expiry_ns, instant_ns
from tests.engine.cli.chain_zip import DAY, EXPIRIES, SPOT, chain_path, value, write_chain


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("simulator.flow.recording.cache_root", lambda: tmp_path / "cache")


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return write_chain(chain_path(tmp_path))


def test_a_snapshot_has_a_row_per_contract_in_order(chain: Path) -> None:
    snapshot = load_chain(chain)
    assert (snapshot.symbol, snapshot.day, snapshot.at, snapshot.american) == ("AXM", DAY, "11:00", False)
    assert snapshot.spot == pytest.approx(SPOT)
    assert snapshot.spot_source == f"axm_{DAY:%Y%m%d}_quote_minute_equity.zip"
    assert snapshot.count == 2 * 13 * 2
    key = list(zip(snapshot.expiry_ns, snapshot.strike, -snapshot.right.astype(int), strict=True))
    assert key == sorted(key)
    assert [snapshot.expiry_day(int(e)) for e in snapshot.expiries] == list(EXPIRIES)
    assert snapshot.symbols[0] == "AXM260320C00070000"
    np.testing.assert_allclose(snapshot.years, (snapshot.expiry_ns - snapshot.at_ns) / NS_PER_YEAR)


def test_quotes_are_the_bars_that_have_ended_by_then(chain: Path) -> None:
    at_eleven = load_chain(chain, "11:00")
    one = int(np.flatnonzero((at_eleven.strike == 100.0) & (at_eleven.right > 0))[1])
    assert at_eleven.expiry_ns[one] == expiry_ns(EXPIRIES[1])
    for at, ended in (("11:00", time(11, 0)), ("10:59", time(9, 31)), ("09:31", time(9, 31))):
        snapshot = load_chain(chain, at)
        expected = value(100.0, EXPIRIES[1], 1, instant_ns(DAY, ended))
        assert snapshot.bid[one] == round(snapshot.bid[one], 2) == pytest.approx(expected - 0.05, abs=0.006)
        assert snapshot.ask[one] == pytest.approx(expected + 0.05, abs=0.006)
    assert at_eleven.bid_qty[one] == at_eleven.ask_qty[one] == 10


def test_a_side_without_a_quote_is_nan(tmp_path: Path) -> None:
    snapshot = load_chain(write_chain(chain_path(tmp_path), one_sided=EXPIRIES[0]))
    first = snapshot.expiry_ns == snapshot.expiries[0]
    assert np.isnan(snapshot.bid[first]).all()
    assert (snapshot.bid_qty[first] == 0).all()
    assert np.isfinite(snapshot.ask[first]).all()
    assert np.isfinite(snapshot.bid[~first]).any()


def test_american_files_say_so(tmp_path: Path) -> None:
    assert load_chain(write_chain(chain_path(tmp_path, "american"), style="american")).american


def test_spot_given_or_from_parity(tmp_path: Path) -> None:
    chain = write_chain(chain_path(tmp_path), equity=False)
    snapshot = load_chain(chain)
    assert snapshot.spot_source == "put-call parity"
    assert snapshot.spot == pytest.approx(SPOT, abs=0.05)
    given = load_chain(chain, spot=101.5)
    assert (given.spot, given.spot_source) == (101.5, "given")


def test_several_files(tmp_path: Path, chain: Path) -> None:
    (tmp_path / "b").mkdir()
    other = write_chain(chain_path(tmp_path / "b"), expiries=EXPIRIES[:1])
    assert [s.count for s in load_chains([chain, other])] == [52, 26]
    with pytest.raises(CliError, match="--spot is of one underlying, but 2 files"):
        load_chains([chain, other], spot=100.0)


@pytest.mark.parametrize("text", ["25:00", "11", "noon", "11:60", "", "11:00:00"])
def test_a_time_that_is_none(text: str) -> None:
    with pytest.raises(CliError, match="--at must be a New York time"):
        parse_clock(text)


@pytest.mark.parametrize("at", ["00:00", "09:29", "11:01", "23:59"])
def test_a_minute_without_quotes(chain: Path, at: str) -> None:
    with pytest.raises(CliError, match=rf"no quotes at {at}; it has them from 09:30 to 11:00 New York"):
        load_chain(chain, at)


@pytest.mark.parametrize("spot", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_spot_that_is_none(chain: Path, spot: float) -> None:
    with pytest.raises(CliError, match="--spot must be a price over 0"):
        load_chain(chain, spot=spot)


def test_files_that_are_not_there_or_damaged(tmp_path: Path, chain: Path) -> None:
    with pytest.raises(CliError, match="no such file") as absent:
        load_chain(tmp_path / "none.zip")
    assert absent.value.code == ExitCode.NOT_FOUND
    garbled = tmp_path / "garbled.zip"
    for content, finding in (
        (b"", "is empty"),
        (b"no zip at all", "is not a zip"),
        (chain.read_bytes()[:900], "trunc"),
    ):
        garbled.write_bytes(content)
        with pytest.raises(CliError, match=finding) as damaged:
            load_chain(garbled)
        assert damaged.value.code == ExitCode.ERROR
        assert str(garbled) in str(damaged.value)


def test_a_contract_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="names a contract that cannot be: strike 0 cannot be written in OSI"):
        load_chain(write_chain(chain_path(tmp_path), strikes=(0.0, 100.0)))


def test_nothing_quoted_on_both_sides(tmp_path: Path) -> None:
    chain = write_chain(chain_path(tmp_path), expiries=EXPIRIES[:1], one_sided=EXPIRIES[0])
    with pytest.raises(CliError, match="no contract has a bid and an ask"):
        load_chain(chain)


def test_the_recorded_goog_chain(market_data: Path) -> None:
    path = market_data / "goog_20151224_quote_minute_american.zip"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {market_data}")
    snapshot = load_chain(path)
    assert (snapshot.symbol, snapshot.day, snapshot.count) == ("GOOG", date(2015, 12, 24), 2192)
    assert snapshot.american
    assert len(snapshot.expiries) == 12
    assert snapshot.spot == pytest.approx(749.15)
    both = np.isfinite(snapshot.bid) & np.isfinite(snapshot.ask)
    assert both.sum() > 1700
    assert (snapshot.ask >= snapshot.bid)[both].all()
