"""Venues that say what a test tells them to: real FIX acceptors with nothing behind them but a script.

By default they behave: security list, mass status, top of book by FIX, orders acknowledged and
cancelled. Everything else a test says itself, through ``report`` and the session.
"""

import datetime
import math
import time
from pathlib import Path

from config.schema import AxiomConfig, SessionConfig
from fix.endpoints import Acceptor, FixSession
from fix.messages import Message, build, parse, utc_timestamp
from fix.session import Role, SessionSettings, State
from fix.store import MessageStore
from market.calendar import instant_ns
from tests.faults.rig import US

SPOT = 100.0
STRIKES = (90, 95, 100, 105, 110)
_VOL = 0.25


def _expiry(now_ns: int) -> int:
    day = datetime.datetime.fromtimestamp(now_ns / 1e9, datetime.UTC) + datetime.timedelta(days=60)
    return instant_ns(day.date(), datetime.time(16, 0))


def _black(strike: float, years: float, call: bool) -> float:
    sd = _VOL * math.sqrt(years)
    d1 = math.log(SPOT / strike) / sd + sd / 2

    def cdf(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    value = SPOT * cdf(d1) - strike * cdf(d1 - sd)
    return value if call else value - SPOT + strike


class ScriptedVenue:
    """One venue of the script: ``OPT`` with ten options, or ``EQ`` with their underlying."""

    def __init__(self, config: AxiomConfig, session: SessionConfig, directory: Path, now_ns: int) -> None:
        self.session_config = session
        self.directory = directory / session.name
        self.expiry_ns = _expiry(now_ns)
        self.years = (self.expiry_ns - now_ns) / (365 * 86_400 * 1e9)
        self.received: list[Message] = []
        self.open: dict[str, Message] = {}  # our idea of the daemon's open orders, by ClOrdID
        self.acknowledge = True
        self.answer_status = True
        self.extra_entries: list[list[tuple[int, str | int]]] = []
        self._exec_id = 0
        self._acceptor: Acceptor | None = None
        self._store: MessageStore | None = None
        self.session: FixSession

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen on the session's port, with what is stored of earlier times."""
        config = self.session_config
        settings = SessionSettings(
            sender_comp_id=config.target_comp_id, target_comp_id=config.sender_comp_id, role=Role.ACCEPTOR
        )
        self._store = MessageStore(self.directory)
        self.session = FixSession(settings, self._store, self)
        self._acceptor = Acceptor([self.session], config.host, config.port)
        await self._acceptor.start()

    async def stop(self, text: str = "closing") -> None:
        """Log out and go away."""
        if self._acceptor is not None:
            await self._acceptor.close(text)
            self._acceptor = None
        if self._store is not None:
            self._store.close()
            self._store = None

    def forget(self) -> None:
        """Lose the message store, while stopped: sequence numbers begin at 1 again."""
        for path in self.directory.iterdir():
            path.unlink()

    # -- what it lists -------------------------------------------------------------------------

    @property
    def symbols(self) -> dict[str, float]:
        """Symbol -> value."""
        if self.session_config.role == "underlying":
            return {"AXM": SPOT}
        found = {}
        for strike in STRIKES:
            for right in "CP":
                found[self.option(right, strike)] = _black(strike, self.years, right == "C")
        return found

    def option(self, right: str, strike: int) -> str:
        """Symbol of one option."""
        day = datetime.datetime.fromtimestamp(self.expiry_ns / 1e9, datetime.UTC).strftime("%y%m%d")
        return f"AXM{day}{right}{strike * 1000:08d}"

    def _entries(self) -> list[list[tuple[int, str | int]]]:
        if self.session_config.role == "underlying":
            return [[(55, "AXM"), (461, "ESXXXX"), (231, 1), (5001, 0), (5002, 0), (5003, 2)]]
        entries: list[list[tuple[int, str | int]]] = []
        for number, symbol in enumerate(self.symbols):
            right, strike = symbol[9], int(symbol[10:]) // 1000
            entries.append(
                [(55, symbol), (461, f"O{right}EXXS"), (541, "20301231"), (202, strike), (231, 100), (5001, number),
                 (5002, 0), (5003, 2), (5004, self.expiry_ns), (5005, 0), (711, 1), (311, "AXM")]
            )  # fmt: skip
        return entries

    # -- the session's handler -------------------------------------------------------------------

    def on_frames(self, session: FixSession, frames: object, count: int) -> None:
        """Never: there is no hot path."""

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        """Nothing hangs on it."""

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Behave."""
        message = parse(raw)
        self.received.append(message)
        if msg_type == "x":
            entries = self._entries() + self.extra_entries
            body = [field for entry in entries for field in entry]
            session.send("y", [(320, message.text(320)), (322, "1"), (560, 0), (893, "Y"), (146, len(entries)), *body])
        elif msg_type == "AF" and self.answer_status:
            self._status(message.text(584))
        elif msg_type == "V":
            for entry in message.groups(146, 55):
                self.quote(entry[55].decode(), message.text(262))
        elif msg_type == "D" and self.acknowledge:
            self.open[message.text(11)] = message
            self.report(message, 150, "0", "0")
        elif msg_type in ("F", "G") and self.acknowledge:
            order = self.open.pop(message.text(41), None)
            if order is None:
                return
            if msg_type == "G":
                self.open[message.text(11)] = message
            self.report(message, 150, *(("4", "4") if msg_type == "F" else ("5", "0")), leaves=msg_type == "G")
        elif msg_type == "q":
            for cl_ord_id, order in list(self.open.items()):
                del self.open[cl_ord_id]
                self.report(order, 150, "4", "4", leaves=False)
            session.send("r", [(37, "0" * 16), (11, message.text(11)), (530, 7), (531, 7), (533, 0)])

    # -- what it says ----------------------------------------------------------------------------

    def seen(self, msg_type: str) -> list[Message]:
        """Messages of one type that came."""
        return [message for message in self.received if message.msg_type == msg_type]

    def exec_id(self) -> str:
        """A new ExecID."""
        self._exec_id += 1
        return f"{self._exec_id:016X}"

    def lose_one(self) -> None:
        """Use up a MsgSeqNum without sending: the daemon sees a gap, and gets a gap fill for it."""
        settings, store = self.session.settings, self.session.store
        now = utc_timestamp(_now())
        raw = build("FIX.4.4", "0", store.next_out, settings.sender_comp_id, settings.target_comp_id, now, [])
        store.append(store.next_out, raw)

    def reject(self, message: Message, text: str) -> None:
        """Refuse a message at session level (35=3), as a venue does that does not understand it."""
        body = [(45, message.seq or 0), (372, message.msg_type), (373, 5), (58, text)]
        self.session._act(lambda now_ns: self.session.machine._send("3", body, now_ns) and [])

    def quote(self, symbol: str, request: str = "MD", width: float = 0.1) -> None:
        """Top of book around the symbol's value; one that is not listed has a value of one."""
        value = self.symbols.get(symbol, 1.0)
        bid, ask = max(value - width, 0.01), max(value + width, 0.02)
        body = [(262, request), (55, symbol), (268, 2), (269, 0), (270, f"{bid:.2f}"), (271, 50)]
        self.session.send("W", [*body, (269, 1), (270, f"{ask:.2f}"), (271, 50)])

    def report(self, order: Message, tag: int, exec_type: str, status: str, *, leaves: bool = True) -> None:
        """An execution report about a request of the daemon, by what the request says."""
        body = [(37, f"{int(order.text(11), 16) & 0xFFFFFFFF:016X}"), (11, order.text(11))]
        if order.get(41) is not None:
            body.append((41, order.text(41)))
        body += [(17, self.exec_id()), (tag, exec_type), (39, status), (55, order.text(55)), (54, order.text(54))]
        body += [(38, order.text(38)), (44, order.text(44, "0.01")), (151, order.text(38) if leaves else 0)]
        self.session.send("8", [*body, (14, 0), (6, 0), (60, utc_timestamp(_now()))])

    def fill(
        self, symbol: str, qty: int, price: str, *, cl_ord_id: str, side: int = 1, exec_id: str = "", order_qty: int = 0
    ) -> str:
        """A trade report in the daemon's name, whatever it has sent; its ExecID."""
        exec_id = exec_id or self.exec_id()
        order_qty = order_qty or qty
        body = [(37, "00000000000000FF"), (11, cl_ord_id), (17, exec_id), (150, "F"), (39, "2"), (55, symbol)]
        body += [(54, side), (38, order_qty), (44, price), (32, qty), (31, price), (12, "0.2500"), (13, 3), (151, 0)]
        self.session.send("8", [*body, (14, qty), (6, price), (60, utc_timestamp(_now()))])
        return exec_id

    def _status(self, request: str) -> None:
        head = [(584, request), (150, "I")]
        for order in self.open.values():
            body = [(37, f"{int(order.text(11), 16) & 0xFFFFFFFF:016X}"), (11, order.text(11)), *head]
            body += [(17, self.exec_id()), (39, "0"), (55, order.text(55)), (54, order.text(54)), (38, order.text(38))]
            body += [(44, order.text(44)), (151, order.text(38)), (14, 0), (6, 0), (60, utc_timestamp(_now()))]
            self.session.send("8", [*body, (911, len(self.open)), (912, "Y" if order is last(self.open) else "N")])
        if not self.open:
            body = [(37, "NONE"), *head, (17, self.exec_id()), (39, "8"), (55, "[N/A]"), (54, 7), (151, 0), (14, 0)]
            self.session.send("8", [*body, (6, 0), (60, utc_timestamp(_now())), (911, 0), (912, "Y")])


def last(orders: dict[str, Message]) -> Message:
    """The youngest open order."""
    return next(reversed(orders.values()))


def _now() -> int:
    return time.time_ns()


class Script:
    """Both venues."""

    def __init__(self, config: AxiomConfig, directory: Path) -> None:
        now_ns = _now()
        self.opt, self.eq = (ScriptedVenue(config, session, directory, now_ns) for session in config.sessions)

    async def start(self) -> None:
        """Both listen."""
        await self.opt.start()
        await self.eq.start()

    async def stop(self) -> None:
        """Both go away."""
        await self.opt.stop()
        await self.eq.stop()


__all__ = ["US", "Script", "ScriptedVenue"]
