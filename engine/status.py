"""The status document: what ``axiom status``, the live view and the final report show.

Built on request from the step's tables, read without locks: a number may be one frame older than
its neighbour, none is torn. The schema is documented in docs/operations.md.
"""

import os
import resource
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.fanin import source_report
from engine.latency import Stage
from engine.state import (
    W_ARMED,
    W_CANCELS,
    W_CONTRACTS,
    W_DENIED,
    W_FILLS,
    W_MARKET_NS,
    W_OPEN,
    W_PRESENCE_ALLOWED,
    W_PRESENCE_TWO_SIDED,
    W_REJECTED,
    W_REPLACED,
    W_SENT,
    W_SHARES,
    W_STEPS,
    Engine,
)
from engine.turn import F_BACKLOG, F_BACKLOG_MAX, F_YIELDS
from fix.endpoints import FixSession
from market.calendar import NEW_YORK
from market.enums import OrdStatus, Right, RiskState, ScopeKind, SecurityKind, SessionState, Side
from market.ids import to_wire
from market.rings import FIX_SOURCE
from risk.denials import Denial
from risk.limits import LIMITS, Limit

if TYPE_CHECKING:
    from engine.daemon import Daemon

Document = dict[str, Any]
_STANDING_CODES = [int(s) for s in (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED, OrdStatus.PENDING_REPLACE)]
_STATE_NAMES = {int(state): state.name for state in RiskState}


def _price(ticks: int, scale: int) -> float | None:
    return round(ticks / 10**scale, scale) if ticks > 0 else None


def _of_engine(session: Any) -> Document:
    """What only sessions of our own engine measure."""
    if not isinstance(session, FixSession):
        return {"throttle": None, "latency": {}}
    throttle = session.throttle
    return {
        "throttle": throttle.snapshot() if throttle is not None else None,
        "latency": session.latency.snapshot(),
    }


def _rss_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


class StatusBuilder:
    """Builds documents for one daemon; remembers CPU time between two of them."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._cpu = (time.monotonic(), time.process_time())
        self._cpu_percent = 0.0

    def build(self, rows: int, orders: bool, final: bool = False) -> Document:
        """The whole document; sections that need a state are absent while the daemon starts."""
        daemon = self._daemon
        document: Document = {
            "v": 1,
            "final": final,
            "run": daemon.run_number,
            "pid": os.getpid(),
            "config_digest": f"{daemon.config.digest():016x}",
            "started_ns": daemon.started_ns,
            "now_ns": time.time_ns(),
            "uptime_s": round((time.time_ns() - daemon.started_ns) / 1e9, 3),
            "phase": daemon.phase,
            "phase_text": daemon.phase_text,
            "phase_progress": daemon.phase_progress,
            "alerts": list(daemon.alerts.recent),
        }
        if daemon.engine is None or daemon.loop is None:
            return document
        engine = daemon.engine
        words = engine.words
        firm = engine.risk.firm[0]
        document |= {
            "market_ns": int(words[W_MARKET_NS]),
            "armed": bool(words[W_ARMED]),
            "risk_state": "KILLED" if int(firm["killed"]) else RiskState(int(firm["state"])).name,
            "state_reason": daemon.alerts.state_reasons.get((int(ScopeKind.FIRM), 0), ""),
            "scopes": self._scopes(engine),
            "loop": self._loop(),
            "sessions": self._sessions(engine),
            "drop_copies": [copy.document() for copy in daemon.drop_copies],
            "underlyings": self._underlyings(engine),
            "chain": self._chain(engine, rows),
            "positions": self._positions(engine),
            "portfolio": self._portfolio(engine),
            "pnl": self._pnl(engine),
            "orders": self._orders(engine),
            "open_orders": self._open_orders(engine) if orders or final else [],
            "fills": {
                "count": int(words[W_FILLS]),
                "contracts": int(words[W_CONTRACTS]),
                "shares": int(words[W_SHARES]),
                "recent": list(daemon.alerts.fills),
            },
            "risk": self._risk(engine),
            "denials": [
                {"code": Denial(code).name, "count": count, "last": last}
                for code, (count, last) in sorted(daemon.alerts.denials.items())
            ],
            "latency": {
                "data_age_us": daemon.latencies.summary_us(Stage.DATA_AGE),
                "decide_us": daemon.latencies.summary_us(Stage.DECIDE),
                "tick_to_order_us": daemon.latencies.summary_us(Stage.TICK_TO_ORDER),
                "ack_us": daemon.latencies.summary_us(Stage.ACK),
                "round_trip_us": daemon.latencies.summary_us(Stage.ROUND_TRIP),
                "step_us": daemon.latencies.summary_us(Stage.STEP),
                "loop_lag_us": daemon.latencies.summary_us(Stage.LOOP_LAG),
                "journal_sync_us": daemon.latencies.summary_us(Stage.JOURNAL_SYNC),
            },
            "journal": self._journal(),
            "stores": self._stores(),
            "theo": self._theo(),
        }
        return document

    # -- sections ------------------------------------------------------------------------------

    def _symbol(self, engine: Engine, number: int) -> str:
        return bytes(engine.instruments[number]["symbol"]).decode("ascii")

    def _count(self) -> int:
        directory = self._daemon.directory
        return directory.count if directory is not None else 0

    def _scopes(self, engine: Engine) -> list[Document]:
        reasons = self._daemon.alerts.state_reasons
        found: list[Document] = []

        def add(scope: ScopeKind, target: int, name: str, state: int) -> None:
            if state != RiskState.ACTIVE:
                reason = reasons.get((int(scope), target), "")
                found.append(
                    {"scope": scope.name.lower(), "name": name, "state": RiskState(state).name, "reason": reason}
                )

        states = np.asarray(engine.risk.instruments["state"])[: self._count()]
        for number in np.flatnonzero(states).tolist():
            add(ScopeKind.INSTRUMENT, number, self._symbol(engine, number), int(states[number]))
        for row in range(int(engine.risk.firm[0]["underlying_count"])):
            under = engine.risk.underlyings[row]
            number = int(under["instrument"])
            add(ScopeKind.UNDERLYING, number, self._symbol(engine, number), int(under["state"]))
        for gateway in self._daemon.gateways:
            add(
                ScopeKind.SESSION, gateway.index, gateway.config.name, int(engine.risk.sessions[gateway.index]["state"])
            )
        return found

    def _loop(self) -> Document:
        loop = self._daemon.loop
        assert loop is not None
        now, cpu = time.monotonic(), time.process_time()
        before, before_cpu = self._cpu
        if now - before > 0.2:
            self._cpu_percent = 100.0 * (cpu - before_cpu) / (now - before)
            self._cpu = (now, cpu)
        return {
            "mode": loop.mode,
            "mode_reason": loop.mode_reason,
            "yields": int(loop.feeds.words[F_YIELDS]),
            "steps": int(loop.engine.words[W_STEPS]),
            "backlog": int(loop.feeds.words[F_BACKLOG]),
            "backlog_max": int(loop.feeds.words[F_BACKLOG_MAX]),
            "backlog_seconds": self._daemon.upkeep.backlog_seconds,
            "lapped_frames": loop.lapped_frames,
            "rss_mib": round(_rss_mib(), 1),
            "cpu_percent": round(self._cpu_percent, 1),
            "cpu_seconds": round(cpu, 3),
        }

    def _sessions(self, engine: Engine) -> list[Document]:
        loop = self._daemon.loop
        assert loop is not None
        now = loop.now_ns()
        result = []
        for gateway in self._daemon.gateways:
            heard = max(int(engine.source_ns[gateway.index]), int(engine.source_ns[FIX_SOURCE + gateway.index]))
            result.append(
                {
                    "name": gateway.config.name,
                    "venue": gateway.config.venue,
                    "role": gateway.config.role,
                    "state": SessionState(int(engine.links[gateway.index]["state"])).name,
                    "detail": gateway.detail,
                    "next_in": gateway.session.next_in,
                    "next_out": gateway.session.next_out,
                    "messages_in": gateway.messages_in + loop.hot.taken(gateway.index),
                    "messages_out": gateway.messages_out + loop.hot.sent(gateway.index),
                    "hot": loop.hot.is_hot(gateway.index),
                    "why_cold": gateway.why_cold,
                    "lane": self._lane(gateway.session),
                    "open_orders": int(engine.risk.sessions[gateway.index]["open_orders"]),
                    "reconnects": max(0, gateway.reconnects),
                    "market_data_age_ms": round((now - heard) / 1e6, 1) if heard else None,
                    "ring": self._ring(gateway.index),
                    "steady": gateway.session.steady,
                    "backlog_bytes": gateway.session.backlog_bytes,
                    "held_back": gateway.held_back,
                    "engine": gateway.config.engine,
                    **_of_engine(gateway.session),
                }
            )
        return result

    def _ring(self, place: int) -> Document | None:
        """What was counted of the ring that a session's market data come by."""
        loop = self._daemon.loop
        if loop is None or all(feed.place != place for feed in self._daemon.feeds):
            return None
        report = source_report(loop.feeds.sources, place)
        return {"alive": report.alive, "waiting": report.waiting, **report.counters}

    def _lane(self, session: Any) -> Document | None:
        """Promotions, demotions by reason and traffic of a session's lane; None where it has none."""
        return session.lane_snapshot() if isinstance(session, FixSession) else None

    def _underlyings(self, engine: Engine) -> list[Document]:
        result = []
        for row in range(int(engine.risk.firm[0]["underlying_count"])):
            under = engine.risk.underlyings[row]
            number = int(under["instrument"])
            book, scale = engine.books[number], int(engine.instruments[number]["price_scale"])
            result.append(
                {
                    "symbol": self._symbol(engine, number),
                    "bid": _price(int(book["market_bid"]), scale),
                    "bid_qty": int(book["bid_qty"]),
                    "ask": _price(int(book["market_ask"]), scale),
                    "ask_qty": int(book["ask_qty"]),
                    "position": int(engine.risk.instruments[number]["position"]),
                    "state": RiskState(int(under["state"])).name,
                }
            )
        return result

    def quoted_mask(self, engine: Engine, side: str) -> Any:
        """bool[count]: series whose quote on ``side`` (bid_slot or ask_slot) stands in the market."""
        slots = np.asarray(engine.series[side])[: self._count()]
        known = slots >= 0
        status = np.asarray(engine.orders["status"])[np.where(known, slots, 0)]
        return known & np.isin(status, _STANDING_CODES)

    def _chain(self, engine: Engine, wanted: int) -> Document:
        count = self._count()
        options = np.asarray(engine.instruments["security"])[:count] == int(SecurityKind.OPTION)
        bids, asks = self.quoted_mask(engine, "bid_slot"), self.quoted_mask(engine, "ask_slot")
        status = np.asarray(engine.series["status"])[:count]
        allowed = int(engine.words[W_PRESENCE_ALLOWED])
        denied = (np.asarray(engine.series["bid_denial"])[:count] != 0) | (
            np.asarray(engine.series["ask_denial"])[:count] != 0
        )
        return {
            "series": int(options.sum()),
            "priced": int((options & (status == 0)).sum()),
            "quoted": int((options & (bids | asks)).sum()),
            "quoted_two_sided": int((options & bids & asks).sum()),
            "quoted_two_sided_max": self._daemon.upkeep.most_two_sided,
            "seconds_to_1000": self._daemon.upkeep.seconds_to_1000,
            "allowed": int((options & (status == 0) & ~denied).sum()),
            "presence": round(int(engine.words[W_PRESENCE_TWO_SIDED]) / allowed, 4) if allowed else None,
            "rows": self._chain_rows(engine, self._shown(engine, options, wanted)),
        }

    def _shown(self, engine: Engine, options: Any, wanted: int) -> list[int]:
        """Both rights of the strikes nearest the money, nearest expiries first."""
        if wanted <= 0 or not options.any():
            return []
        rows = np.asarray(engine.instruments)[: len(options)]
        now = int(engine.words[W_MARKET_NS])
        live = options & (rows["expiry_ns"] > now)
        spot = float(engine.underlyings[0]["spot"])
        chosen: list[int] = []
        expiries = np.unique(rows["expiry_ns"][live])
        each = max(2, wanted // max(1, min(3, len(expiries))))
        for expiry in expiries[:3]:
            numbers = np.flatnonzero(live & (rows["expiry_ns"] == expiry))
            near = numbers[np.argsort(np.abs(rows["strike"][numbers] - spot), kind="stable")][:each]
            chosen += sorted((int(n) for n in near), key=lambda n: (float(rows["strike"][n]), int(rows["right"][n])))
        return chosen[:wanted]

    def _chain_rows(self, engine: Engine, numbers: list[int]) -> list[Document]:
        """One document per series; columns are taken out of the tables at once, fields are slow one by one."""
        definitions = np.asarray(engine.instruments)[numbers]
        books, series = np.asarray(engine.books)[numbers], np.asarray(engine.series)[numbers]
        risk = np.asarray(engine.risk.instruments)[numbers]
        priced = series["status"] == 0
        bids, asks = self._quotes(engine, series["bid_slot"]), self._quotes(engine, series["ask_slot"])
        scales = definitions["price_scale"].tolist()
        underlyings = {int(u): self._symbol(engine, int(u)) for u in np.unique(definitions["underlying"])}
        expiries = {
            int(e): datetime.fromtimestamp(int(e) / 1e9, NEW_YORK).date().isoformat()
            for e in np.unique(definitions["expiry_ns"])
        }

        def theo(name: str) -> list[float | None]:
            return [round(v, 4) if ok else None for v, ok in zip(series[name].tolist(), priced.tolist(), strict=True)]

        def price(column: list[int]) -> list[float | None]:
            return [_price(ticks, scale) for ticks, scale in zip(column, scales, strict=True)]

        columns: dict[str, list[Any]] = {
            "symbol": [raw.decode("ascii") for raw in definitions["symbol"].tolist()],
            "underlying": [underlyings[u] for u in definitions["underlying"].tolist()],
            "expiry": [expiries[e] for e in definitions["expiry_ns"].tolist()],
            "right": ["C" if right == Right.CALL else "P" for right in definitions["right"].tolist()],
            "strike": definitions["strike"].tolist(),
            "bid": price(books["market_bid"].tolist()),
            "bid_qty": books["bid_qty"].tolist(),
            "ask": price(books["market_ask"].tolist()),
            "ask_qty": books["ask_qty"].tolist(),
            "our_bid": price(bids[0]),
            "our_bid_qty": bids[1],
            "our_ask": price(asks[0]),
            "our_ask_qty": asks[1],
            "theo": theo("theo"),
            "delta": theo("delta"),
            "vega": theo("vega"),
            "vol": theo("vol"),
            "position": risk["position"].tolist(),
            "state": [_STATE_NAMES[state] for state in risk["state"].tolist()],
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _quotes(self, engine: Engine, slots: Any) -> tuple[list[int], list[int]]:
        """(ticks, open quantity) of the quotes in ``slots`` that stand in the market, 0 for the others."""
        orders = np.asarray(engine.orders)[np.maximum(slots, 0)]
        standing = (slots >= 0) & (orders["in_use"] != 0) & np.isin(orders["status"], _STANDING_CODES)
        ticks = np.where(standing, orders["price_ticks"], 0)
        return ticks.tolist(), np.where(standing, orders["qty"] - orders["cum_qty"], 0).tolist()

    def _marks(self, engine: Engine, numbers: Any) -> Any:
        """float64: theo of options, mid of underlyings; 0 when neither is known."""
        option = np.asarray(engine.instruments["security"])[numbers] == int(SecurityKind.OPTION)
        spots = np.asarray(engine.underlyings["spot"])[np.maximum(engine.underlying_of[numbers], 0)]
        return np.where(option, np.asarray(engine.series["theo"])[numbers], spots)

    def _positions(self, engine: Engine) -> list[Document]:
        positions = np.asarray(engine.risk.instruments["position"])[: self._count()]
        numbers = np.flatnonzero(positions)
        qty = positions[numbers]
        definitions = np.asarray(engine.instruments)[numbers]
        multiplier = definitions["multiplier"].astype(np.int64)
        option = definitions["security"] == int(SecurityKind.OPTION)
        delta = np.where(option, np.asarray(engine.series["delta"])[numbers], 1.0) * qty * multiplier
        average = -np.asarray(engine.ledger["cash_e4"])[numbers] / 1e4 / (qty * multiplier)
        columns: dict[str, list[Any]] = {
            "symbol": [raw.decode("ascii") for raw in definitions["symbol"].tolist()],
            "qty": qty.tolist(),
            "multiplier": multiplier.tolist(),
            "mark": np.round(self._marks(engine, numbers), 6).tolist(),
            "avg_price": np.round(average, 6).tolist(),
            "delta": np.round(delta, 4).tolist(),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _portfolio(self, engine: Engine) -> Document:
        rows = engine.risk.underlyings[: int(engine.risk.firm[0]["underlying_count"])]
        positions = np.asarray(engine.risk.instruments["position"])
        options = np.asarray(engine.instruments["security"]) == int(SecurityKind.OPTION)
        theta = positions * np.asarray(engine.series["theta"]) * np.asarray(engine.instruments["multiplier"])
        return {
            "delta": round(float(np.sum(rows["held_delta"])), 4),
            "gamma": round(float(np.sum(rows["held_gamma"])), 6),
            "vega": round(float(np.sum(rows["held_vega"])), 4),
            "theta": round(float(theta[options].sum()), 4),
            "abs_contracts": int(np.abs(positions[options]).sum()),
        }

    def _pnl(self, engine: Engine) -> Document:
        count = self._count()
        ledger = np.asarray(engine.ledger)[:count]
        cash_e4 = int(ledger["cash_e4"].sum()) - int(ledger["fees_e4"].sum())
        positions = np.asarray(engine.risk.instruments["position"])[:count]
        multiplier = np.asarray(engine.instruments["multiplier"])[:count]
        held = np.flatnonzero(positions)
        value = float(np.sum(positions[held] * multiplier[held] * self._marks(engine, held)))
        edge = float(ledger["edge"].sum())
        total = cash_e4 / 1e4 + value
        fees = int(ledger["fees_e4"].sum()) / 1e4
        return {
            "total": round(total, 2),
            "edge": round(edge, 2),
            "hedge_and_moves": round(total + fees - edge, 2),
            "fees": round(fees, 2),
            "cash": round(cash_e4 / 1e4, 4),
            "cash_e4": cash_e4,
            "inventory": round(value, 2),
        }

    def _orders(self, engine: Engine) -> Document:
        words = engine.words
        used = np.asarray(engine.orders["in_use"]) != 0
        status = np.asarray(engine.orders["status"])[used]
        pending = np.isin(status, [OrdStatus.PENDING_NEW, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE])
        return {
            "open": int(words[W_OPEN]),
            "pending": int(pending.sum()),
            "unknown": int((status == OrdStatus.UNKNOWN).sum()),
            "sent": int(words[W_SENT]),
            "replaced": int(words[W_REPLACED]),
            "cancelled": int(words[W_CANCELS]),
            "rejected": int(words[W_REJECTED]),
            "denied": int(words[W_DENIED]),
        }

    def _open_orders(self, engine: Engine) -> list[Document]:
        names = {g.index: g.config.name for g in self._daemon.gateways}
        result = []
        for slot in np.flatnonzero(np.asarray(engine.orders["in_use"])):
            order = engine.orders[int(slot)]
            number = int(order["instrument"])
            result.append(
                {
                    "cl_ord_id": to_wire(int(order["cl_ord_id"])),
                    "session": names.get(int(order["session"]), "?"),
                    "symbol": self._symbol(engine, number),
                    "side": Side(int(order["side"])).name,
                    "price": _price(int(order["price_ticks"]), int(engine.instruments[number]["price_scale"])),
                    "leaves_qty": int(order["qty"] - order["cum_qty"]),
                    "status": OrdStatus(int(order["status"])).name,
                }
            )
        return result

    def _risk(self, engine: Engine) -> list[Document]:
        rows = engine.risk.underlyings[: int(engine.risk.firm[0]["underlying_count"])]
        instruments = np.asarray(engine.risk.instruments)
        options = instruments["security"] == int(SecurityKind.OPTION)
        worst = np.maximum(
            np.abs(instruments["position"] + instruments["working_buy"]),
            np.abs(instruments["position"] - instruments["working_sell"]),
        )
        used: dict[Limit, float] = {Limit.MAX_SERIES_POSITION: float(worst[options].max(initial=0))}
        if len(rows):
            up, down = rows["held_delta"] + rows["working_delta_up"], rows["held_delta"] - rows["working_delta_down"]
            used[Limit.MAX_UNDERLYING_POSITION] = float(rows["gross_contracts"].max())
            used[Limit.MAX_PORTFOLIO_DELTA] = float(np.maximum(np.abs(up), np.abs(down)).max())
            used[Limit.MAX_HELD_DELTA] = float(np.abs(rows["held_delta"]).max())
            vega_up, vega_down = (
                rows["held_vega"] + rows["working_vega_up"],
                rows["held_vega"] - rows["working_vega_down"],
            )
            used[Limit.MAX_PORTFOLIO_VEGA] = float(np.maximum(np.abs(vega_up), np.abs(vega_down)).max())
            used[Limit.MAX_HELD_VEGA] = float(np.abs(rows["held_vega"]).max())
        used[Limit.MAX_OPEN_ORDERS] = float(np.asarray(engine.risk.sessions["open_orders"]).max())
        values = np.asarray(engine.risk.limits)
        return [
            {
                "limit": limit.name.lower(),
                "unit": spec.unit,
                "value": float(values[limit]),
                "used": round(used[limit], 2) if limit in used else None,
            }
            for limit, spec in LIMITS.items()
        ]

    def _journal(self) -> Document:
        journal = self._daemon.journal
        if journal is None:
            return {}
        return {
            "path": str(journal.directory),
            "frames": journal.next_seq - self._daemon.first_seq,
            "mib": round((journal.next_seq - self._daemon.first_seq) / 8192, 1),
            "segments": len(list(journal.directory.glob("journal-*.bin"))),
        }

    def _stores(self) -> Document:
        """Group commit of the message stores: what a power cut may take at most."""
        group = self._daemon.store_sync
        if group is None:
            return {}
        stats = group.stats()
        return {
            "window_ms": round(stats.window_s * 1000.0, 1),
            "exposed_ms": round(stats.exposed_s * 1000.0, 1),
            "rounds": stats.rounds,
            "failures": stats.failures,
        }

    def _theo(self) -> Document:
        greeks = self._daemon.greeks
        if greeks is None:
            return {}
        return {
            "refreshes": greeks.refreshes,
            "refresh_ms": round(greeks.refresh_ms, 3),
            "path": greeks.pricer.path.value,
            "path_losses": greeks.pricer.losses,
            "calibrations": greeks.calibrations,
            "calibrate_ms": round(greeks.calibrate_ms, 3),
            "age_ms": round((time.monotonic() - greeks.last_refresh) * 1000.0, 1) if greeks.refreshes else None,
            "expiries_fitted": int(np.count_nonzero(np.asarray(greeks.pricer.slices["status"]) == 0)),
        }
