"""``axiom surface``: what it fits, prints, draws, and says when it cannot."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.cli.app import status_of
from engine.cli.exits import ExitCode
from market.calendar import NS_PER_YEAR, expiry_ns, instant_ns
from tests.engine.cli.chain_zip import DAY, EXPIRIES, SPOT, chain_path, true_vol, write_chain

MODELS = ["essvi", "svi", "sabr"]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("simulator.flow.recording.cache_root", lambda: tmp_path / "cache")
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return write_chain(chain_path(tmp_path))


def run(capsys: pytest.CaptureFixture[str], *args: str | Path, expect: int = 0) -> str:
    code = status_of(["surface", *(str(arg) for arg in args)])
    captured = capsys.readouterr()
    assert code == expect, captured.err
    return captured.out if expect == 0 else captured.err


def answer(capsys: pytest.CaptureFixture[str], *args: str | Path) -> list[dict[str, Any]]:
    document = json.loads(run(capsys, *args, "--json"))
    assert document["ok"] is True
    result: list[dict[str, Any]] = document["result"]
    return result


@pytest.mark.parametrize("model", MODELS)
def test_a_known_smile_is_found_inside_its_spreads(chain: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = answer(capsys, "--chain", chain, "--model", model)
    assert result["arbitrage"]["free"] is True
    assert result["quote_faults"] == []
    assert [e["day"] for e in result["expiries"]] == [str(day) for day in EXPIRIES]
    for expiry, day in zip(result["expiries"], EXPIRIES, strict=True):
        years = (expiry_ns(day) - instant_ns(DAY, _eleven())) / NS_PER_YEAR
        assert expiry["years"] == pytest.approx(years)
        assert expiry["forward"] == pytest.approx(SPOT, abs=0.03)
        assert expiry["money_vol"] == pytest.approx(true_vol(SPOT, years), abs=0.004)
        assert (expiry["inside"], expiry["verdict"]) == (expiry["points"], "free")
        assert expiry["median_miss"] < 0.5
        assert len(expiry["params"]) >= 3


def _eleven() -> Any:
    from datetime import time

    return time(11, 0)


def test_the_table_says_it_for_people(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "--chain", chain, "--model", "svi")
    assert f"AXM {DAY} 11:00 New York, European, spot 100.00" in text
    for word in ("expiry", "forward", "discount", "yield", "parameters", "sigma", "free of arbitrage on a grid of"):
        assert word in text
    assert all(str(day) in text for day in EXPIRIES)
    assert "static arbitrage in the raw quotes" not in text


def test_a_narrow_terminal_cuts_no_number(
    chain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = run(capsys, "--chain", chain)
    assert "…" not in text
    assert "forward" in text
    assert "parameters" not in text


def test_several_chains_and_their_own_pictures(tmp_path: Path, chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b").mkdir()
    other = write_chain(chain_path(tmp_path / "b", "american"), style="american", expiries=EXPIRIES[:1])
    pictures = tmp_path / "smiles.png"
    first, second = answer(capsys, "--chain", chain, "--chain", other, "--plot", pictures)
    assert (first["american"], second["american"]) == (False, True)
    assert (len(first["expiries"]), len(second["expiries"])) == (2, 1)
    assert Path(first["plot"]).name == f"smiles-AXM-{DAY:%Y%m%d}.png"
    assert Path(first["plot"]).read_bytes().startswith(b"\x89PNG")
    twice = answer(capsys, "--chain", chain, "--chain", chain, "--plot", pictures)
    assert len({result["plot"] for result in twice}) == 2


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_a_picture_is_drawn(
    tmp_path: Path, chain: Path, suffix: str, begins: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / f"smiles{suffix}"
    run(capsys, "--chain", chain, "--plot", picture)
    assert picture.read_bytes().startswith(begins)


def test_the_picture_shows_every_quote_and_the_smile(tmp_path: Path, chain: Path) -> None:
    from engine.cli import surface_plot
    from engine.cli.chainfile import load_chain
    from engine.cli.chainfit import Model, fit_chain

    fitted = fit_chain(load_chain(chain), Model.SVI, 0.0)
    figure = surface_plot.figure_of(fitted)
    smiles = figure.axes[:2]
    for axes, expiry in zip(smiles, fitted.expiries, strict=True):
        bars, curve = axes.containers[0], axes.lines[1]
        assert bars.lines[0].get_xdata().tolist() == expiry.quotes.strike.tolist()
        low, high = curve.get_xdata().min(), curve.get_xdata().max()
        assert low < expiry.quotes.strike.min() < expiry.quotes.strike.max() < high
        money = curve.get_ydata()[abs(curve.get_xdata() - SPOT).argmin()]
        assert money == pytest.approx(100.0 * true_vol(SPOT, expiry.years), abs=0.5)
    residuals = figure.axes[-1]
    shown = sum(len(line.get_xdata()) for line in residuals.lines[1:])
    assert shown == sum(expiry.points for expiry in fitted.expiries)


def test_without_matplotlib_the_extra_is_named(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name == "matplotlib" else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    text = run(capsys, "--chain", chain, "--plot", tmp_path / "x.png", expect=ExitCode.ERROR)
    assert "axiom[plot]" in text
    run(capsys, "--chain", chain)


def test_where_a_picture_cannot_go(tmp_path: Path, chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "--chain", chain, "--plot", tmp_path / "none" / "x.png", expect=ExitCode.NOT_FOUND)
    assert "there is no directory" in text
    (tmp_path / "taken.png").mkdir()
    text = run(capsys, "--chain", chain, "--plot", tmp_path / "taken.png", expect=ExitCode.ERROR)
    assert "taken.png cannot be written" in text
    assert "must end in" in run(capsys, "--chain", chain, "--plot", tmp_path / "x.gif", expect=ExitCode.ERROR)


def test_an_empty_expiry_is_named_and_touches_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = answer(capsys, "--chain", write_chain(chain_path(tmp_path)), "--model", "svi")[0]
    (tmp_path / "b").mkdir()
    holed = write_chain(chain_path(tmp_path / "b"), one_sided=EXPIRIES[0])
    for model in MODELS:
        (result,) = answer(capsys, "--chain", holed, "--model", model)
        empty, good = result["expiries"]
        assert (empty["points"], empty["status"], empty["verdict"]) == (0, "NO_QUOTES", "-")
        assert empty["money_vol"] is None
        assert good["verdict"] == "free"
        assert result["arbitrage"]["free"] is True
        if model == "svi":
            assert good["params"]["a"] == pytest.approx(whole["expiries"][1]["params"]["a"])
    assert f"{EXPIRIES[0]} no quotes" in run(capsys, "--chain", holed)


def test_one_strike_is_a_flat_smile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = write_chain(chain_path(tmp_path), strikes=(100.0,))
    for model in MODELS:
        (result,) = answer(capsys, "--chain", chain, "--model", model)
        assert {e["status"] for e in result["expiries"]} == {"FEW_POINTS"}
        assert result["arbitrage"]["free"] is True
        assert result["expiries"][0]["money_vol"] == pytest.approx(true_vol(SPOT, 0.05), abs=0.01)


def test_quotes_too_wide_to_say_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = write_chain(chain_path(tmp_path), half_spread=30.0)
    for model in MODELS:
        text = run(capsys, "--chain", chain, "--model", model, expect=ExitCode.ERROR)
        assert "no expiry has a usable quote out of the money (contracts: " in text
        assert "no quote" in text


def test_a_spot_that_parity_contradicts_is_remarked_on(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "--chain", chain, "--spot", "150")
    assert text.count("forward carried from the spot") == 2
    assert "forward carried" not in run(capsys, "--chain", chain)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_reader_that_has_gone_is_no_failure(chain: Path, form: tuple[str, ...]) -> None:
    """As in ``axiom surface ... | head``: nobody is left to read, and nobody is told of an error."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "engine.cli", "surface", "--chain", str(chain), "--model", "svi", *form]
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("args", "code", "finding"),
    [
        (["--chain", "none.zip"], ExitCode.NOT_FOUND, "no such file"),
        (["--at", "12:00"], ExitCode.ERROR, "from 09:30 to 11:00 New York"),
        (["--at", "12"], ExitCode.ERROR, "--at must be a New York time"),
        (["--model", "heston"], ExitCode.ERROR, "--model must be essvi, svi or sabr, was 'heston'"),
        (["--spot", "-3"], ExitCode.ERROR, "--spot must be a price over 0"),
    ],
)
def test_what_cannot_be_done_is_said(
    chain: Path, args: list[str], code: int, finding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = args if args[0] == "--chain" else ["--chain", str(chain), *args]
    assert finding in run(capsys, *given, expect=code)
    assert status_of(["surface", *given, "--json"]) == code
    assert finding in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["goog_20151224_quote_minute_american.zip", "spxw_20210104_quote_minute_european.zip",
                                  "spxw_20210106_quote_minute_european.zip"])  # fmt: skip
def test_recorded_chains_are_fitted_within_half_of_the_spread_and_without_arbitrage(
    market_data: Path, model: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = market_data / name
    if not path.is_file():
        pytest.skip(f"no {path.name} in {market_data}")
    (result,) = answer(capsys, "--chain", path, "--model", model)
    assert result["arbitrage"]["free"], result["arbitrage"]["worst"]
    assert result["median_miss"] < 0.5
    for expiry in result["expiries"]:
        assert expiry["verdict"] == "free"
        assert expiry["median_miss"] < 1.0
        assert not math.isnan(expiry["money_vol"])
    inside = sum(e["inside"] for e in result["expiries"]) / sum(e["points"] for e in result["expiries"])
    assert inside > 0.9
