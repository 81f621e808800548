"""``axiom greeks`` on files with a known truth, and on the recorded ones where they are."""

import csv
import io
import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpu
from engine.cli.app import status_of
from engine.cli.exits import ExitCode
from tests.engine.cli.chain_zip import DAY, EXPIRIES, SPOT, chain_path, true_vol, write_chain


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return write_chain(chain_path(tmp_path))


def run(capsys: pytest.CaptureFixture[str], *args: Any) -> tuple[int, str, str]:
    code = status_of(["greeks", *(str(arg) for arg in args)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_document_holds_the_truth_of_every_contract(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--chain", chain, "--at", "11:00", "--json")
    result = json.loads(out)["result"]
    assert code == 0
    head = [result[name] for name in ("symbol", "day", "at", "style")]
    assert head == ["AXM", DAY.isoformat(), "11:00", "european"]
    assert result["contracts"] == 52 and sum(result["status"].values()) == 52
    assert [entry["expiry"] for entry in result["expiries"]] == [day.isoformat() for day in EXPIRIES]
    for entry in result["expiries"]:
        assert math.isclose(entry["forward"], SPOT, rel_tol=2e-4)
    years = {entry["expiry"]: entry["years"] for entry in result["expiries"]}
    checked = 0
    for row in result["options"]:
        if row["status"] != "OK" or not 85.0 <= row["strike"] <= 115.0:
            continue
        left = years[row["expiry"]]
        true = true_vol(row["strike"], left)
        vega = gpu.option(SPOT, row["strike"], left, 0.0, true, 1).vega
        assert abs(row["vol"] - true) <= 0.03 / vega  # half of the spread and rounding to ticks
        one = gpu.option(SPOT, row["strike"], left, 0.0, row["vol"], 1 if row["right"] == "call" else -1)
        assert math.isclose(row["delta"], one.delta, abs_tol=5e-3)
        assert math.isclose(row["gamma"], one.gamma, rel_tol=2e-2)
        assert {greek.name.lower() for greek in gpu.Greek} <= set(row)
        checked += 1
    assert checked >= 20


def test_both_rights_of_a_strike_share_the_volatility(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run(capsys, "--chain", chain, "--json")[1])["result"]["options"]
    vols: dict[tuple[str, float], set[float]] = {}
    for row in rows:
        if row["status"] == "OK":
            vols.setdefault((row["expiry"], row["strike"]), set()).add(row["vol"])
    assert len(vols) > 10
    assert all(len(values) == 1 for values in vols.values())


def test_table_names_what_it_shows(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--chain", chain, "--strikes", "3")
    assert code == 0
    assert f"AXM {DAY} 11:00 New York, 52 European contracts, spot 100.00" in out
    for day in EXPIRIES:
        assert f"{day}  " in out
    assert "vega/pt" in out and "status: OK" in out and "options per us" in out
    strikes = [line.split() for line in out.splitlines()]
    assert sum("100" in words for words in strikes) == sum("95" in words for words in strikes) == 2
    assert not any("90" in words or "110" in words for words in strikes)


def test_csv_has_a_line_per_contract(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--chain", chain, "--csv", "--expiry", EXPIRIES[1])
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 26
    assert {row["expiry"] for row in rows} == {EXPIRIES[1].isoformat()}
    assert all(row["ultima"] for row in rows if row["status"] == "OK")


def test_unquoted_contracts_are_counted_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = write_chain(chain_path(tmp_path), one_sided=EXPIRIES[0])
    result = json.loads(run(capsys, "--chain", chain, "--json")[1])["result"]
    assert result["status"]["NO_QUOTE"] >= 26
    for row in result["options"]:
        if row["status"] == "NO_QUOTE":
            assert row["vol"] is None and row["delta"] is None


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--expiry", "2026-03-21"], ExitCode.NOT_FOUND, "2026-03-20, 2026-06-19"),
        (["--at", "25:00"], ExitCode.ERROR, "--at must be"),
        (["--at", "04:00"], ExitCode.ERROR, "has no quotes at 04:00"),
        (["--spot", "-1"], ExitCode.ERROR, "--spot must be"),
    ],
)
def test_errors_say_how_to_mend_the_call(
    args: list[str], code: int, words: str, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    got, _, err = run(capsys, "--chain", chain, *args)
    assert got == code
    assert words in err


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--chain", tmp_path / "no_20260302_quote_minute_european.zip")[0] == ExitCode.NOT_FOUND


@pytest.mark.parametrize(
    ("name", "count", "style"),
    [
        ("spxw_20210106_quote_minute_european.zip", 16, "european"),
        ("goog_20151224_quote_minute_american.zip", 2192, "american"),
    ],
)
def test_recorded_chains(
    name: str, count: int, style: str, market_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (market_data / name).is_file():
        pytest.skip(f"no recorded file {name}")
    code, out, _ = run(capsys, "--chain", market_data / name, "--rate", "0.005", "--json")
    result = json.loads(out)["result"]
    assert (code, result["contracts"], result["style"]) == (0, count, style)
    assert result["status"]["OK"] >= 0.8 * count  # the rest has no bid, or less than its intrinsic value
    rows = [row for row in result["options"] if row["status"] == "OK"]
    assert all(0.0 < row["vol"] < 5.0 for row in rows)
    for row in rows:
        inside = row["delta"] if row["right"] == "call" else -row["delta"]
        assert -1e-9 <= inside <= 1.0 + 1e-9
    # The prices behind the Greeks are the market's: inside the spread where the volatility is its own.
    near = [
        row for row in rows
        if row["bid"] and row["ask"] and abs(math.log(row["strike"] / result["spot"])) < 0.1
        and date.fromisoformat(row["expiry"]) > date.fromisoformat(result["day"])
    ]  # fmt: skip
    away = [abs(row["price"] - 0.5 * (row["bid"] + row["ask"])) / (row["ask"] - row["bid"] + 0.01) for row in near]
    assert np.median(away) < 0.5


@pytest.mark.parametrize(
    ("columns", "there", "absent"), [(80, "C delta", "gamma"), (120, "gamma", "vanna"), (160, "volga/pt2", "…")]
)
def test_narrow_terminals_lose_columns_and_never_digits(
    columns: int, there: str, absent: str, chain: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = run(capsys, "--chain", chain, "--strikes", "5")
    assert there in out and absent not in out and "…" not in out
    assert "-0.00 %" not in out


def test_a_spot_that_contradicts_parity_is_named(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--chain", chain, "--spot", "1000")
    assert "parity says nothing or contradicts the spot" in " ".join(out.split())
