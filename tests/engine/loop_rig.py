"""A ``StepLoop`` with its journal on a real disk, and a scripted day to drive it with."""

from pathlib import Path
from typing import Any

import numpy as np

from engine.journal import Journal
from engine.latency import Latencies
from engine.loop import StepLoop, new_frame
from engine.replay import START_SNAPSHOT
from engine.snapshot import save
from engine.state import O_QUOTING, O_STUCK_NS, make_engine
from market.enums import (
    ControlVerb,
    ExecType,
    FrameKind,
    OrderAction,
    OrdStatus,
    Right,
    SecurityKind,
    SessionState,
    TradingStatus,
)
from market.records import (
    CONTROL,
    EXECUTION,
    INSTRUMENT,
    NO_INSTRUMENT,
    ORDER,
    QUOTE,
    RUN_START,
    SESSION,
    THEO,
    THEO_COMMIT,
    TIMER,
    as_layout,
)
from risk.limits import Limit

OPTIONS = 4
SEGMENT_MIB = 8


class LoopRig:
    """``sent`` collects every output frame (int64[16]); the venue's answers are posted by :meth:`answer`."""

    def __init__(self, directory: Path, mode: str, max_orders: int = 64) -> None:
        self.directory = directory
        self.engine = make_engine(8, max_orders)
        self.engine.options[O_QUOTING], self.engine.options[O_STUCK_NS] = 1.0, 1e12
        for limit in (Limit.MAX_OPTION_FEED_AGE_MS, Limit.MAX_UNDERLYING_AGE_MS, Limit.MAX_THEO_AGE_MS):
            self.engine.risk.limits[limit] = 1e9  # these tests are about order, not about how fast they run
        self.journal = Journal(directory, SEGMENT_MIB, 1)
        save(self.engine, directory / START_SNAPSHOT, 1, 0)
        self.sent: list[bytes] = []
        self.answered = 0
        self.loop = StepLoop(self.engine, self.journal, mode, Latencies(max_orders), self._take)

    def _take(self, cells: Any, count: int) -> None:
        self.sent += [row.tobytes() for row in cells[:count]]

    def post(self, layout: Any, kind: FrameKind, **fields: Any) -> None:
        frame = new_frame(layout)
        frame["kind"] = kind
        for name, value in fields.items():
            frame[name] = value
        self.loop.post_frame(frame)

    def orders(self) -> list[Any]:
        rows = np.frombuffer(b"".join(self.sent), np.uint8).reshape(-1, 128)
        found = as_layout(rows, ORDER)
        return [row for row in found if row["kind"] == FrameKind.ORDER]

    def answer(self) -> None:
        """Acknowledge every new order, answer every status request with 'none', that was not answered yet."""
        orders = self.orders()
        for order in orders[self.answered :]:
            if order["action"] == OrderAction.NEW:
                self.post(
                    EXECUTION, FrameKind.EXECUTION, session=order["session"], instrument=order["instrument"],
                    side=order["side"], exec_type=ExecType.NEW, ord_status=OrdStatus.NEW, order_id=7,
                    cl_ord_id=order["cl_ord_id"], price_ticks=order["price_ticks"], order_qty=order["qty"],
                    leaves_qty=order["qty"],
                )  # fmt: skip
            elif order["action"] == OrderAction.MASS_STATUS:
                self.post(
                    EXECUTION, FrameKind.EXECUTION, session=order["session"], instrument=NO_INSTRUMENT, last_report=1,
                    exec_type=ExecType.ORDER_STATUS, ord_status=OrdStatus.REJECTED, orig_cl_ord_id=order["cl_ord_id"],
                )  # fmt: skip
        self.answered = len(orders)

    def script(self) -> list[tuple[Any, FrameKind, dict[str, Any]]]:
        """A morning: definitions, logon, arming, quotes that move."""
        frames: list[tuple[Any, FrameKind, dict[str, Any]]] = [(RUN_START, FrameKind.RUN_START, {"run": 1})]
        equity = {"instrument": 0, "underlying": 0, "security": SecurityKind.EQUITY, "price_scale": 2, "multiplier": 1}
        frames.append((INSTRUMENT, FrameKind.INSTRUMENT, equity))
        for n in range(1, OPTIONS + 1):
            option = {"instrument": n, "underlying": 0, "security": SecurityKind.OPTION, "price_scale": 2,
                      "multiplier": 100, "right": Right.CALL, "strike": 100.0, "expiry_ns": 4 * 10**18}  # fmt: skip
            frames.append((INSTRUMENT, FrameKind.INSTRUMENT, option))
        frames.append((SESSION, FrameKind.SESSION, {"session": 0, "state": SessionState.LOGGED_ON}))
        frames.append((CONTROL, FrameKind.CONTROL, {"verb": ControlVerb.ARM}))
        for turn in range(5):
            book = {"bid_qty": 50, "ask_qty": 50, "status": TradingStatus.OPEN, "src_seq": turn, "ts_ns": turn}
            spot = {"instrument": 0, "bid_ticks": 9999, "ask_ticks": 10001, "source": 1}
            frames.append((QUOTE, FrameKind.QUOTE, book | spot))
            for n in range(1, OPTIONS + 1):
                prices = {"instrument": n, "bid_ticks": 470 + 3 * turn, "ask_ticks": 530 + 3 * turn}
                frames.append((QUOTE, FrameKind.QUOTE, book | prices))
                theo = {"theo": 5.0 + 0.03 * turn, "delta": 0.5, "gamma": 0.01, "vega": 10.0, "vol": 0.2,
                        "spot_ref": 100.0, "years": 0.1}  # fmt: skip
                frames.append((THEO, FrameKind.THEO, theo | {"instrument": n}))
            frames.append((THEO_COMMIT, FrameKind.THEO_COMMIT, {"underlying": 0, "rows": OPTIONS}))
        frames.append((TIMER, FrameKind.TIMER, {"period_ns": 10_000_000}))
        return frames

    def close(self) -> None:
        self.loop.stop()
        self.journal.close()
        self.loop.inbox.close()
        self.loop.outbox.close()


def meaning(frame: bytes) -> bytes:
    """An output without its stamps: what must not depend on when it happened."""
    row = np.frombuffer(frame, np.uint8).copy()
    order = as_layout(row.reshape(1, 128), ORDER)
    order["ts_ns"] = order["recv_ns"] = 0
    if order[0]["kind"] == FrameKind.ORDER:
        order["tick_ns"] = 0
    return row.tobytes()
