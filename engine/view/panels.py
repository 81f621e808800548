"""The small tables around the chain: sessions, money, risk use, latency, positions, messages."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from engine.view.numbers import count, gain, micros, percent, price, signed, styled

_USE_WARNS_AT = 0.8
_USE_ALARMS_AT = 1.0
_NS_PER_S = 1_000_000_000

Status = dict[str, Any]


def _grid(*justify: str) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    for side in justify:
        table.add_column(justify=side, no_wrap=True)  # type: ignore[arg-type]
    return table


def _pairs(rows: Iterable[tuple[str, str]]) -> Table:
    table = _grid("left", "right")
    for name, value in rows:
        table.add_row(f"[dim]{name}[/]", value)
    return table


def sessions(status: Status) -> Table:
    """FIX sessions: state, sequence numbers, open orders, age of market data; drop copies: what waits, their lag."""
    table = _grid("left", "left", "right", "right", "right")
    table.add_row(*(f"[dim]{name}[/]" for name in ("session", "state", "in / out", "open", "data age")))
    for row in status.get("sessions") or []:
        age = row.get("market_data_age_ms")
        table.add_row(
            escape(str(row.get("name", ""))),
            styled(row.get("state")),
            f"{count(row.get('next_in'))} / {count(row.get('next_out'))}",
            count(row.get("open_orders")),
            micros(None if age is None else age * 1000),
        )
    for row in status.get("drop_copies") or []:
        lag = (row.get("lag_us") or {}).get("p50")
        table.add_row(
            escape(str(row.get("name", ""))),
            styled(_agreement(row)),
            f"{count(row.get('next_in'))} / {count(row.get('next_out'))}",
            count(row.get("pending")),
            micros(lag or None),
        )
    return table


def _agreement(row: Status) -> str:
    """What a drop copy says of our executions."""
    if row.get("unresolved"):
        return "MISMATCH"
    return "AGREES" if row.get("listening") else "DOWN"


def underlyings(status: Status) -> Table:
    """Underlyings: market and our position."""
    table = _grid("left", "right", "right")
    for row in status.get("underlyings") or []:
        market = f"{price(row.get('bid'))} [dim]x[/] {price(row.get('ask'))}"
        table.add_row(f"[bold]{escape(str(row.get('symbol', '')))}[/]", market, f"{signed(row.get('position'))} sh")
    return table


def money(status: Status) -> Table:
    """P&L and its parts, in the currency of the instruments."""
    pnl = status.get("pnl") or {}
    names = (("P&L", "total"), ("realised", "realised"), ("unrealised", "unrealised"), ("edge at trade", "edge"))
    rows = [(name, gain(pnl.get(key))) for name, key in names if key in pnl]
    return _pairs([*rows, ("fees", price(pnl.get("fees"))), ("cash", signed(pnl.get("cash"), 2))])


def greeks(status: Status) -> Table:
    """Portfolio Greeks; theta per calendar day, vega per volatility point, as desks quote them."""
    held = status.get("portfolio") or {}
    vega, theta = held.get("vega"), held.get("theta")
    return _pairs(
        [
            ("delta", f"{signed(held.get('delta'), 1)} sh"),
            ("gamma", f"{signed(held.get('gamma'), 2)} sh/1.00"),
            ("vega", f"{signed(None if vega is None else vega / 100, 2)} /vol pt"),
            ("theta", f"{signed(None if theta is None else theta / 365, 2)} /day"),
            ("contracts held", count(held.get("abs_contracts"))),
        ]
    )


def trading(status: Status) -> Table:
    """Orders, fills and how much of the chain is quoted."""
    chain, orders, fills = status.get("chain") or {}, status.get("orders") or {}, status.get("fills") or {}
    quoted = f"{count(chain.get('quoted_two_sided'))} / {count(chain.get('series'))}"
    return _pairs(
        [
            ("two-sided", quoted),
            ("presence", percent(chain.get("presence"))),
            ("open orders", count(orders.get("open"))),
            ("sent/cancelled", f"{count(orders.get('sent'))} / {count(orders.get('cancelled'))}"),
            ("rejected/denied", f"{count(orders.get('rejected'))} / {count(orders.get('denied'))}"),
            ("fills", f"{count(fills.get('count'))} ({count(fills.get('contracts'))} ct)"),
        ]
    )


def risk(status: Status, max_lines: int = 8) -> Table:
    """Limits by how much of them is used, the fullest first."""
    table = _grid("left", "left", "right")
    rows = [row for row in status.get("risk") or [] if row.get("used") is not None]
    for row in sorted(rows, key=_use, reverse=True)[:max_lines]:
        use = _use(row)
        style = "red" if use >= _USE_ALARMS_AT else "yellow" if use >= _USE_WARNS_AT else "green"
        filled = min(8, max(0, round(use * 8)))
        bar = f"[{style}]{'█' * filled}[/][dim]{'░' * (8 - filled)}[/]"
        table.add_row(escape(str(row.get("limit"))).removeprefix("max_"), bar, percent(use, 0))
    return table


def _use(row: dict[str, Any]) -> float:
    value, used = float(row.get("value") or 0.0), abs(float(row.get("used") or 0.0))
    if value <= 0.0:
        return 0.0 if used == 0.0 else float("inf")
    return used / value


_PERCENTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}


def latency(status: Status, shown: tuple[str, ...] = tuple(_PERCENTILES)) -> Table:
    """Percentiles of the times that matter."""
    table = _grid("left", *["right"] * len(shown))
    table.add_row("[dim]latency[/]", *(f"[dim]{_PERCENTILES[part]}[/]" for part in shown))
    measured = status.get("latency") or {}
    names = (("tick to order", "tick_to_order_us"), ("venue ack", "ack_us"), ("step", "step_us"))
    for name, key in names:
        row = measured.get(key) or {}
        table.add_row(name, *(micros(row.get(part)) for part in shown))
    return table


def loop(status: Status) -> Table:
    """The loop, the journal and the Greeks engine."""
    state, journal, theo = status.get("loop") or {}, status.get("journal") or {}, status.get("theo") or {}
    backlog = f"{count(state.get('backlog'))} (max {count(state.get('backlog_max'))})"
    used = f"{count(state.get('rss_mib'))} MiB, {count(state.get('cpu_percent'))}% CPU"
    path = escape(str(theo.get("path", "")))
    refresh = f"{price(theo.get('refresh_ms'))} ms, {count(theo.get('refreshes'))} on {path}"
    return _pairs(
        [
            ("loop", escape(str(state.get("mode", "")))),
            ("backlog", backlog),
            ("process", used),
            ("journal", f"{count(journal.get('frames'))} frames"),
            ("theo refresh", refresh),
        ]
    )


def positions(status: Status, max_lines: int) -> Table:
    """Positions, the largest first."""
    table = _grid("left", "right", "right", "right")
    table.add_row(*(f"[dim]{name}[/]" for name in ("position", "qty", "mark", "delta")))
    rows = sorted(status.get("positions") or [], key=lambda row: -abs(row.get("qty") or 0))
    for row in rows[:max_lines]:
        cells = signed(row.get("qty")), price(row.get("mark")), signed(row.get("delta"), 0)
        table.add_row(escape(str(row.get("symbol", ""))), *cells)
    if len(rows) > max_lines:
        table.add_row(f"[dim]and {len(rows) - max_lines} more[/]", "", "", "")
    return table


def messages(status: Status, max_lines: int) -> Table:
    """Scopes that are not active, then the newest alerts and fills."""
    table = _grid("left", "left")
    lines: list[tuple[str, str]] = []
    for row in status.get("scopes") or []:
        lines.append((styled(row.get("state")), escape(f"{row.get('scope')} {row.get('name')}: {row.get('reason')}")))
    colours = {"error": "red", "warning": "yellow"}
    for row in reversed(status.get("alerts") or []):
        colour = colours.get(str(row.get("severity")), "dim")
        lines.append((f"[{colour}]{_time(row.get('ts_ns'))}[/]", escape(str(row.get("text", "")))))
    fills = (status.get("fills") or {}).get("recent") or []
    for row in reversed(fills):
        text = f"{row.get('side')} {count(row.get('qty'))} {row.get('symbol')} at {price(row.get('price'))}"
        lines.append((f"[dim]{_time(row.get('ts_ns'))}[/]", escape(f"{text} (theo {price(row.get('theo'))})")))
    for line in lines[:max_lines]:
        table.add_row(*line)
    return table


def _time(ns: Any) -> str:
    return datetime.fromtimestamp(int(ns or 0) / _NS_PER_S, UTC).strftime("%H:%M:%S")
