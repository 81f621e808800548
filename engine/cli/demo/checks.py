"""After the demo: is what the daemon believes what the venues' own trade logs say?

The count uses ``simulator.tradelog`` alone: no step, no risk and no matching code.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from config import AxiomConfig
from config.schema import VenueConfig

Check = dict[str, Any]
_SHOWN = 5


class VenueCount(msgspec.Struct):
    """What the venues say of us, all of them together."""

    positions: dict[str, int] = {}
    cash_e4: int = 0
    fills: int = 0
    open_orders: set[str] = set()
    findings: list[str] = []


def final_status(config: AxiomConfig) -> dict[str, Any]:
    """The daemon's last words, ``final.json``; empty where there are none."""
    try:
        document = msgspec.json.decode((config.state_dir / "final.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return document if isinstance(document, dict) else {}


def all_checks(config: AxiomConfig, final: dict[str, Any], exit_codes: dict[str, int | None]) -> Iterator[Check]:
    """Run every check; one that cannot be made has failed."""
    for name, code in exit_codes.items():
        yield _check(f"{name} ended in order", code == 0, f"exit code {code}")
    yield _check("final status", bool(final), f"written to {config.state_dir / 'final.json'}" if final else "missing")
    if final:
        yield from _guarded("venue count", lambda: _against_venues(config, final))
    yield from _guarded("audit", lambda: _within_limits(config))
    yield from _guarded("replay", lambda: _replay(config))


def _check(name: str, ok: bool, text: str) -> Check:
    return {"name": name, "ok": ok, "text": text}


def _guarded(name: str, run: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """A check that breaks is reported as failed, and the others still run."""
    try:
        yield from list(run())
    except Exception as error:  # noqa: BLE001 - outermost frame of a check: reported, never hidden
        yield _check(name, False, f"could not be made: {type(error).__name__}: {error}")


# -- positions, cash and orders ---------------------------------------------------------------


def count_venues(config: AxiomConfig) -> VenueCount:
    """Our account at every simulated venue, from the trade logs."""
    from simulator.tradelog import audit_trades, count_account, participant_numbers, read_log

    total = VenueCount()
    for session in config.trading.values():
        venue = next((entry for entry in config.simulator.venues if entry.name == session.venue), None)
        if venue is None:
            continue
        path = trade_log(config, venue)
        contents = read_log(path)
        account = count_account(contents, participant_numbers(path)[session.sender_comp_id])
        for symbol, qty in account.positions.items():
            total.positions[symbol] = total.positions.get(symbol, 0) + qty
        total.cash_e4 += account.cash_e4
        total.fills += account.fills
        total.open_orders |= {f"{order.cl_ord_id:016X}" for order in account.open_orders.values()}
        total.findings += [f"{venue.name}: {finding}" for finding in audit_trades(contents)]
    return total


def trade_log(config: AxiomConfig, venue: VenueConfig) -> Path:
    """Where a venue keeps its trade log."""
    return config.simulator_dir / venue.name / "trades.log"


def _against_venues(config: AxiomConfig, final: dict[str, Any]) -> Iterator[Check]:
    venues = count_venues(config)
    ours = {row["symbol"]: int(row["qty"]) for row in final.get("positions") or [] if row.get("qty")}
    theirs = {symbol: qty for symbol, qty in venues.positions.items() if qty}
    wrong = sorted(symbol for symbol in ours.keys() | theirs.keys() if ours.get(symbol) != theirs.get(symbol))
    text = f"{len(theirs)} positions" if not wrong else _differences(wrong, ours, theirs)
    yield _check("positions equal the venues'", not wrong, text)
    cash = (final.get("pnl") or {}).get("cash_e4")
    words = f"{_usd(venues.cash_e4)}" if cash == venues.cash_e4 else f"ours {_usd(cash)}, venues {_usd(venues.cash_e4)}"
    yield _check("cash equals the venues'", cash == venues.cash_e4, words)
    count = (final.get("fills") or {}).get("count")
    yield _check("fills equal the venues'", count == venues.fills, f"ours {count}, venues {venues.fills}")
    open_ours = {str(row.get("cl_ord_id")) for row in final.get("open_orders") or []}
    same = open_ours == venues.open_orders
    yield _check("open orders equal the venues'", same, f"ours {len(open_ours)}, venues {len(venues.open_orders)}")
    yield from _drop_copies(config, final, venues)
    text = "; ".join(venues.findings[:_SHOWN]) or "double entry holds, no self-trade"
    yield _check("the venues' trades are sound", not venues.findings, text)


def _drop_copies(config: AxiomConfig, final: dict[str, Any], venues: VenueCount) -> Iterator[Check]:
    """Every fill came twice, and both times said the same."""
    copies = final.get("drop_copies") or []
    covered = {name for copy in copies for name in copy.get("covers", [])}
    if covered != {session.name for session in config.trading.values()}:
        return  # fills of a session without a drop copy cannot be told apart in the venues' total
    matched = sum(int(copy["trades"]) + int(copy["trades_before"]) for copy in copies)
    left = sum(int(copy["pending"]) + int(copy["mismatched"]) for copy in copies)
    ok = matched == venues.fills and not left
    text = f"{matched} fills reconciled" if ok else f"{matched} of {venues.fills} fills reconciled, {left} not"
    yield _check("drop copies agree", ok, text)


def _differences(wrong: list[str], ours: dict[str, int], theirs: dict[str, int]) -> str:
    shown = [f"{symbol}: ours {ours.get(symbol, 0)}, venue {theirs.get(symbol, 0)}" for symbol in wrong[:_SHOWN]]
    return "; ".join(shown) + (f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else "")


def _usd(e4: Any) -> str:
    return f"{e4 / 10_000:,.2f} USD" if isinstance(e4, int) else "unknown"


# -- the daemon's own records -----------------------------------------------------------------


def _within_limits(config: AxiomConfig) -> Iterator[Check]:
    from engine.audit import audit

    result = audit(config.state_dir)
    text = "; ".join(result.violations) or f"{result.orders} orders audited in the journal"
    yield _check("no limit was exceeded", result.ok, text)


def _replay(config: AxiomConfig) -> Iterator[Check]:
    from engine.cli.replay import plain_result
    from engine.replay import verify

    result = plain_result(verify(config.state_dir))
    text = f"{result['frames']} frames, {result['outputs']} outputs"
    if result.get("mismatch") is not None:
        text += f", different at {result['mismatch']}"
    yield _check("the journal replays to the same outputs", bool(result.get("ok")), text)
