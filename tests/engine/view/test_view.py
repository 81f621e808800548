"""The view draws what the status document says, and survives what it does not say."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from engine.view import report, screen, summary, svg
from engine.view.numbers import gain, micros, percent, price, seconds, signed
from engine.view.screen import headline

ROW = {"symbol": "AXM260116C00100000", "underlying": "AXM", "expiry": "2026-01-16", "right": "C", "strike": 100.0,
       "bid": 1.00, "bid_qty": 10, "ask": 1.20, "ask_qty": 5, "our_bid": 1.05, "our_ask": 1.25, "theo": 1.12,
       "position": -7, "state": "ACTIVE"}  # fmt: skip
STATUS: dict[str, Any] = {
    "run": 3, "phase": "running", "armed": True, "risk_state": "ACTIVE", "uptime_s": 3725.0,
    "market_ns": 1_450_969_500_000_000_000,
    "sessions": [{"name": "OPT", "state": "READY", "next_in": 1200, "next_out": 34, "open_orders": 40,
                  "market_data_age_ms": 3.25}],
    "underlyings": [{"symbol": "AXM", "bid": 99.9, "ask": 100.1, "position": -300}],
    "chain": {"series": 252, "quoted_two_sided": 240, "presence": 0.973,
              "rows": [ROW, ROW | {"right": "P", "theo": 2.34, "position": 0, "state": "HALTED"}]},
    "positions": [{"symbol": "AXM260116C00100000", "qty": -7, "mark": 1.12, "delta": -350.0}],
    "portfolio": {"delta": -12.34, "gamma": 5.0, "vega": 1234.0, "theta": -730.0, "abs_contracts": 7},
    "pnl": {"total": 12.5, "realised": 20.0, "unrealised": -7.5, "fees": 1.75, "cash": 840.0},
    "orders": {"open": 40, "sent": 100, "cancelled": 60, "rejected": 0, "denied": 2},
    "fills": {"count": 3, "contracts": 7, "recent": [{"ts_ns": 0, "symbol": "X", "side": "SELL", "qty": 7,
                                                      "price": 1.2, "theo": 1.12}]},
    "risk": [{"limit": "max_held_delta", "value": 100.0, "used": 90.0}, {"limit": "max_order_qty", "value": 50.0}],
    "latency": {"tick_to_order_us": {"p50": 4.2, "p90": 8.0, "p99": 31.0, "p999": 1500.0}},
    "alerts": [{"ts_ns": 0, "severity": "error", "text": "fill of [X] for an order we never sent"}],
}  # fmt: skip


def drawn(what: RenderableType, width: int = 200, height: int = 60) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, color_system=None)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_screen_shows_both_markets_positions_greeks_and_latency() -> None:
    text = drawn(screen(STATUS, width=200, height=60))
    for expected in (
        "240 of 252 series quoted two-sided", "97.3%", "1.00 x 1.20", "1.05 x 1.25", "-7", "HALTED", "READY",
        "1,200 / 34", "3.2ms", "-12.3 sh", "+12.34 /vol pt", "-2.00 /day", "+12.50", "4.20us", "1.5ms", "90%",
        "1:02:05", "2015-12-24 15:05:00",
    ):  # fmt: skip
        assert expected in text, expected


@pytest.mark.parametrize(
    ("row", "word"),
    [({"listening": True, "unresolved": 0}, "AGREES"), ({"listening": True, "unresolved": 1}, "MISMATCH"),
     ({"listening": False, "unresolved": 0}, "DOWN")],
)  # fmt: skip
def test_a_drop_copy_is_shown_with_what_it_says_and_its_lag(row: dict[str, Any], word: str) -> None:
    copy = {"name": "OPT-COPY", "next_in": 77, "next_out": 3, "pending": 0, "lag_us": {"p50": 127.0}, **row}
    text = drawn(screen(STATUS | {"drop_copies": [copy]}, width=200, height=60))
    [line] = [line for line in text.splitlines() if "OPT-COPY" in line]
    assert word in line and "127us" in line


def test_text_of_an_alert_is_not_markup() -> None:
    assert "fill of [X] for an order" in drawn(screen(STATUS, width=200, height=60))


@pytest.mark.parametrize("width", [40, 80, 119, 120, 250])
@pytest.mark.parametrize("height", [12, 24, 70])
def test_screen_fits_the_terminal(width: int, height: int) -> None:
    lines = drawn(screen(STATUS, width=width, height=height), width, height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_start_shows_progress() -> None:
    status = {"phase": "compiling", "phase_text": "kernels 12/40", "phase_progress": 0.3}
    assert "compiling: kernels 12/40" in drawn(screen(status, width=100, height=30))
    assert "waiting for the daemon" in drawn(screen({}, width=100, height=30))


@given(st.recursive(st.none(), lambda inner: st.dictionaries(st.sampled_from([*STATUS, "rows"]), inner), max_leaves=5))
def test_absent_or_null_keys_are_drawn_as_dashes(document: dict[str, Any] | None) -> None:
    status = {"phase": "running"} | dict.fromkeys(document or {})
    drawn(screen(status, width=150, height=40))
    drawn(summary(status))
    headline(status)


@pytest.mark.parametrize("key", list(STATUS))
def test_any_one_section_may_be_missing(key: str) -> None:
    status = {name: value for name, value in STATUS.items() if name != key}
    assert drawn(screen(status | {"final": True}, width=150, height=40))
    assert drawn(summary(status))


def test_report_names_the_failed_check() -> None:
    checks = [{"name": "positions equal the venues'", "ok": False, "text": "X: ours 1, venue 2"}]
    document = {"ok": False, "market": "generated", "quoted_peak": 240, "final": STATUS, "checks": checks}
    text = drawn(report(document))
    assert "FAILED" in text
    assert "X: ours 1, venue 2" in text
    assert "240 of 252" in text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (signed(-0.001, 2), "0.00"), (signed(1234.5, 1), "+1,234.5"), (signed(None), "–"), (price(float("nan")), "–"),
        (percent(0.9731), "97.3%"), (micros(999.4), "999us"), (micros(1000), "1.0ms"), (micros(2.5e6), "2.50s"),
        (seconds(59.9), "0:00:59"), (gain(-1.0), "[red]-1.00[/]"), (gain(0.001), "0.00"),
    ],
)  # fmt: skip
def test_numbers_read_as_people_write_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_picture_needs_no_network() -> None:
    text = svg(STATUS)
    assert "READY" in text
    assert "http" not in text.replace("http://www.w3.org/", "").replace("https://www.textualize.io", "")
