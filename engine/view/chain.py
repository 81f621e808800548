"""The chain: our quotes against the market, calls left of the strike and puts right, by expiry."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from engine.view.numbers import DASH, price, signed

_SIDE = ("pos", "market", "ours", "theo")
_Pair = dict[str, dict[str, Any]]


def chain_table(status: dict[str, Any], max_lines: int) -> Table:
    """Strikes nearest to the money of each expiry, in at most ``max_lines`` lines."""
    chain = status.get("chain") or {}
    table = Table(box=None, pad_edge=False, expand=True, header_style="bold")
    for name in (*_SIDE, "strike", *reversed(_SIDE)):
        table.add_column(name, justify="center" if name == "strike" else "right", no_wrap=True)
    by_expiry = _by_expiry(chain.get("rows") or [])
    if not by_expiry:
        return table
    spots = {row.get("symbol"): _mid(row) for row in status.get("underlyings") or []}
    shown = _shown_expiries(by_expiry, max_lines)
    per_expiry = max(1, max_lines // max(1, len(shown)) - 1)
    for expiry, underlying in shown:
        strikes = by_expiry[expiry, underlying]
        table.add_row(*[""] * 4, f"[bold cyan]{escape(str(underlying))} {escape(str(expiry))}[/]", *[""] * 4)
        for strike in _nearest(sorted(strikes), spots.get(underlying), per_expiry):
            pair = strikes[strike]
            call, put = pair.get("C", {}), pair.get("P", {})
            table.add_row(*_cells(call), f"[bold]{strike:,.2f}[/]", *reversed(_cells(put)))
    return table


def _by_expiry(rows: list[dict[str, Any]]) -> dict[tuple[Any, Any], dict[float, _Pair]]:
    found: dict[tuple[Any, Any], dict[float, _Pair]] = {}
    for row in rows:
        strikes = found.setdefault((row.get("expiry"), row.get("underlying")), {})
        strikes.setdefault(float(row.get("strike") or 0.0), {})[str(row.get("right"))] = row
    return found


def _shown_expiries(by_expiry: dict[tuple[Any, Any], Any], max_lines: int) -> list[tuple[Any, Any]]:
    """As many of the nearest expiries as leave four strikes to each."""
    ordered = sorted(by_expiry, key=lambda pair: (str(pair[0]), str(pair[1])))
    return ordered[: max(1, max_lines // 5)]


def _mid(row: dict[str, Any]) -> float | None:
    bid, ask = row.get("bid"), row.get("ask")
    return None if bid is None or ask is None else (bid + ask) / 2


def _nearest(strikes: list[float], spot: float | None, wanted: int) -> list[float]:
    """``wanted`` neighbouring strikes around the money."""
    centre = spot if spot is not None else strikes[len(strikes) // 2]
    chosen = sorted(strikes, key=lambda strike: abs(strike - centre))[:wanted]
    return sorted(chosen)


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    if not row:
        return ("", "", "", "")
    position = row.get("position") or 0
    market = f"{price(row.get('bid'))} [dim]x[/] {price(row.get('ask'))}"
    ours = _ours(row)
    if row.get("state") not in (None, "ACTIVE"):
        ours = f"[red]{escape(str(row['state']))}[/]"
    return (signed(position) if position else "", market, ours, f"[dim]{price(row.get('theo'))}[/]")


def _ours(row: dict[str, Any]) -> str:
    """Our two sides; green where we are at or inside the market's best."""
    sides = []
    for side, better in (("bid", 1), ("ask", -1)):
        mine, market = row.get(f"our_{side}"), row.get(side)
        if mine is None:
            sides.append(f"[dim]{DASH}[/]")
        elif market is None or (mine - market) * better >= -1e-9:
            sides.append(f"[bold green]{price(mine)}[/]")
        else:
            sides.append(f"[cyan]{price(mine)}[/]")
    return " [dim]x[/] ".join(sides)
