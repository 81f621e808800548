"""The FIX sessions of the daemon: one handler each, between endpoint and step.

What arrives is posted to the step before the endpoint counts it as taken; what the step puts out is
sent in one batch per session. Security lists are collected here and handed to the directory.

The step may believe what it knows of a session's orders only while nothing of that session is
missing. A gap, a reset of the sequence numbers or a message of ours that the venue refused ends
that: the step is told that the session is down (no new orders, open ones UNKNOWN), and up again
when the messages are there, whereupon it asks the venue for all our orders.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from config.sessions import SessionConfig
from engine.heldback import refusals
from engine.latency import Latencies, Stage, record_answers, record_orders
from engine.loop import StepLoop, new_frame
from engine.marketnews import MARKET_NEWS, STATUS_REQUEST, said, security_status, status_request
from engine.securities import Page, read_page
from engine.sessionnews import news
from engine.sessions import AnyStore, build_session, open_session
from engine.state import SOURCE_VOID
from fix.codec import SymbolTable
from fix.endpoints import FixSession, QueueDropped
from fix.errors import (
    BackpressureError,
    FixError,
    HotPathError,
    SessionNotLoggedOnError,
    StoreError,
    ThrottledError,
    WorkerFailedError,
)
from fix.messages import Message, parse, utc_timestamp
from fix.session import (
    GapDetected,
    GapFilled,
    NumbersSkipped,
    PeerReject,
    Resent,
    SequencesReset,
    SessionEvent,
    State,
)
from market.enums import FrameKind, OrderAction, ScopeKind, SessionState
from market.ids import MAX_SLOTS, make_cl_ord_id, to_wire
from market.records import EXECUTION, ORDER, SESSION, TIMER, as_layout
from market.rings import FIX_SOURCE, FRAME_WORDS

if TYPE_CHECKING:
    from engine.copygateway import CopyGateway

_SECURITY_LIST = "y"
_BUSINESS_REJECT = "j"
_DATA_REJECT = "Y"
_ORDER_TYPES = frozenset("DGFq")  # MsgTypes of ours whose refusal leaves an order in the dark
_SYMBOLS_PER_REQUEST = 100
_LIST_TIMEOUT_NS = 5_000_000_000
_MASS = (int(OrderAction.MASS_CANCEL), int(OrderAction.MASS_STATUS))


#: A move of the spot requotes a thousand series at once: the first of them leave while the last are encoded.
_SEND_ROWS = 256
_REST_S = 0.25  # a session that came back from the step by itself is not offered again before
_RETRY_S = 0.05  # a mass request that a slow peer kept back is tried again after this


class GatewayOwner(Protocol):
    """What a gateway tells the daemon."""

    def on_listings(self, gateway: "Gateway", page: Page) -> None:
        """One page of the venue's security list."""

    def on_list_asked(self, gateway: "Gateway") -> None:
        """A security list was asked for: pages of an earlier answer do not count."""

    def on_link(self, gateway: "Gateway", up: bool, reason: str) -> None:
        """The session logged on or was lost."""

    def on_alert(self, severity: str, text: str) -> None:
        """Something a person must see."""

    def on_fatal(self, reason: str) -> None:
        """Trading cannot go on."""

    def halt(self, scope: ScopeKind, target: int, reason: str) -> None:
        """Stop trading in a scope until a person resumes it."""


class Gateway:
    """One configured session."""

    def __init__(
        self,
        index: int,
        config: SessionConfig,
        store: AnyStore,
        symbols: SymbolTable,
        loop: StepLoop,
        latencies: Latencies,
        owner: GatewayOwner,
    ) -> None:
        self.index = index
        self.config = config
        self.detail = "not connected"
        self.messages_in = 0
        self.messages_out = 0
        self.held_back = 0  # requests that a throttle or a slow peer kept here
        self.reconnects = -1
        self.listed = False
        self.copies: list[CopyGateway] = []  # drop copies that must repeat what comes in here
        self.last_in_ns = 0  # step time of the last message of the application
        self.hot = False  # the step may drive the session while it is in order
        self.why_cold = "not asked for"  # why it is not hot now, or can never be
        self._returned_at = 0.0  # monotonic time of the last look at which it had come back of itself
        self._demotions = 0
        self._live = False  # since this logon the step was told that the session is up
        self._subscribed = False
        self._requests = 0
        self._list_request = ""  # SecurityReqID of the list that is awaited, empty when it is complete
        self._list_seq = 0
        self._status_seq = 0
        self._hot_symbols = symbols
        self._list_asked_ns = 0
        self._symbols: list[str] = []
        self._loop = loop
        self._latencies = latencies
        self._owner = owner
        self._store = store
        self._last_mass_id = 0
        self.session, self.initiator = open_session(build_session(config), store, self, symbols, index)

    # -- SessionHandler ------------------------------------------------------------------------

    def on_frames(self, session: FixSession, frames: npt.NDArray[np.uint8], count: int) -> None:
        """Execution reports, cancel rejects and FIX market data: into the step."""
        self.messages_in += count
        now = self.last_in_ns = self._loop.now_ns()
        counted = self._latencies
        record_answers(
            counted.histograms[Stage.ACK], counted.histograms[Stage.ROUND_TRIP], counted.sent_ns, counted.ring_ns,
            as_layout(frames, EXECUTION), count, now,
        )  # fmt: skip
        self._loop.post(frames[:count].view(np.int64).reshape(count, FRAME_WORDS), count)
        for copy in self.copies:
            copy.own(self.index, frames, count)

    def hot_frames(self, frames: npt.NDArray[np.uint8], count: int) -> None:
        """Reports that the step took by itself: for the drop copies that must repeat them."""
        for copy in self.copies:
            copy.own(self.index, frames, count)

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Everything that has no frame."""
        self.messages_in += 1
        self.last_in_ns = self._loop.now_ns()
        if msg_type == _SECURITY_LIST:
            page = read_page(raw)
            if page.request_id != self._list_request:
                return  # of a request that was asked anew
            if page.last:
                self._list_request = ""
            for refused in page.refused:
                self._owner.on_alert("error", f"{self.config.name}: security list entry not understood: {refused}")
            self._owner.on_listings(self, page)
        elif msg_type == _BUSINESS_REJECT:
            message = parse(raw)
            self._refused(message.text(372), message.text(45), message.text(58))
        elif msg_type == _DATA_REJECT:
            self._owner.on_alert("error", f"{self.config.name}: market data refused: {parse(raw).text(58)}")
        elif msg_type in MARKET_NEWS:
            self._market_news(parse(raw))
        elif msg_type in ("8", "9"):
            self._unreadable_report(parse(raw))
        elif msg_type != "r":  # a mass cancel's own report: the orders' reports say it all
            self._owner.on_alert("warning", f"{self.config.name}: message of type {msg_type} is not handled")

    def ask_status(self) -> None:
        """Ask to be told when the venue halts or resumes an instrument."""
        if self.session.logged_on:
            self._requests += 1
            self._status_seq = self.session.send(STATUS_REQUEST, status_request(f"SS{self._requests}"))

    def _market_news(self, message: Message) -> None:
        """Trading status goes to the step, which pulls or quotes the series; the rest to people."""
        line = said(message)
        if line is not None:
            self._owner.on_alert(line[0], f"{self.config.name}: {line[1]}")
        if message.msg_type == "f":
            frame = security_status(message, self._hot_symbols, self.index)
            if frame is not None:
                self._loop.post_frame(frame)

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        """Tell the step when the line goes down, the daemon when it comes up."""
        self.detail = reason or state.value
        if state == State.LOGGED_ON:
            self.reconnects += 1
            self.listed = self._live = self._subscribed = False
            self._owner.on_link(self, True, reason)
            if self.reconnects and self.config.on_reconnect == "cancel":
                self._cancel_all()
            self._ask_list()
        elif state == State.DISCONNECTED:
            self._list_request = ""
            self.listed = self._live = self._subscribed = False
            if self.config.market_data == "fix":
                self._void_books()
            self.tell_step(SessionState.DOWN)
            self._owner.on_link(self, False, reason)

    def on_event(self, session: FixSession, event: SessionEvent) -> None:
        """What the session itself noticed."""
        said = news(event)
        if said is not None:
            self._owner.on_alert(said[0], f"{self.config.name}: {said[1]}")
        if isinstance(event, GapDetected):
            if self._live:
                self.tell_step(SessionState.DOWN)
        elif isinstance(event, GapFilled):
            self._ask_again()
        elif isinstance(event, Resent):
            self._resent(event)
        elif isinstance(event, SequencesReset | NumbersSkipped):
            self._reports_lost()
        elif isinstance(event, PeerReject):
            self._refused(event.ref_msg_type, str(event.ref_seq), event.text)
        elif isinstance(event, QueueDropped):
            self._hold_back([int(number) for number in event.cl_ord_ids if isinstance(number, int)], event.reason)

    def forget_list(self) -> None:
        """No security list is awaited: the instruments are known otherwise."""
        self._list_request = ""

    def _ask_list(self) -> None:
        """Ask for everything that the venue lists."""
        self._requests += 1
        self._list_request = f"SL{self._requests}"
        self._list_asked_ns = self._loop.now_ns()
        self._list_seq = self.session.send("x", [(320, self._list_request), (559, 4)])
        self._owner.on_list_asked(self)

    def _cancel_all(self) -> None:
        """Mass cancel after a lost line, where the policy wants it; the venue's reports say what it ended.

        Its ClOrdID is of run 0, which no order of ours ever has.
        """
        self._last_mass_id = max(self._last_mass_id + 1, int(time.time()))
        cl_ord_id = to_wire(make_cl_ord_id(0, self._last_mass_id & 0xFFFFFFFF, MAX_SLOTS - 1))
        self.session.send("q", [(11, cl_ord_id), (530, "7"), (60, utc_timestamp(time.time_ns()))])
        self._owner.on_alert("warning", f"{self.config.name}: mass cancel after reconnect (on_reconnect = cancel)")

    def _resent(self, event: Resent) -> None:
        """The venue has asked for what we sent. Requests are never repeated, but gap-filled: it did not act on them."""
        if not event.gap_filled or not self.session.logged_on:
            return
        if self._list_request and event.begin <= self._list_seq <= event.end:
            self._ask_list()
        if event.begin <= self._status_seq <= event.end:
            self.ask_status()
        if self._subscribed:
            self._subscribed = False
            self.subscribe(self._symbols)
        self._ask_again()

    def _ask_again(self) -> None:
        """After a doubt: the venue's word on all our orders, before another one is sent."""
        if self._live and self.session.logged_on:
            self.tell_step(SessionState.DOWN)
            self.tell_step(SessionState.LOGGED_ON)

    def _reports_lost(self) -> None:
        """Reports that the venue had not delivered are lost: with orders open, so may be fills."""
        name = self.config.name
        open_orders = int(self._loop.engine.risk.sessions[self.index]["open_orders"])
        if open_orders:
            text = (
                f"SEQUENCES_RESET: {name} with {open_orders} orders open: undelivered fills are lost; compare "
                f"positions with the venue, then resume"
            )
            self._owner.halt(ScopeKind.FIRM, 0, text)
        self._ask_again()

    def _refused(self, ref_msg_type: str, ref_seq: str, text: str) -> None:
        """The venue did not act on a message of ours. One that concerned an order stops the session."""
        what = f"venue refused our message {ref_seq} (35={ref_msg_type or '?'}): {text}"
        if ref_msg_type == STATUS_REQUEST:  # it tells by market data alone, or not at all
            self._owner.on_alert("info", f"{self.config.name}: no trading status by message: {text}")
            return
        self._owner.on_alert("error", f"{self.config.name}: {what}")
        if ref_msg_type in _ORDER_TYPES:
            self._owner.halt(ScopeKind.SESSION, self.index, f"MESSAGE_REFUSED: {what}")
            self._ask_again()

    def _unreadable_report(self, message: Message) -> None:
        """An execution report that lacks what the codec must have: it may have been a fill."""
        what = f"report {message.seq} (35={message.msg_type}) about {message.text(11) or 'no ClOrdID'} cannot be read"
        self._owner.on_alert("error", f"{self.config.name}: {what}: session halted")
        self._owner.halt(ScopeKind.SESSION, self.index, f"UNREADABLE_REPORT: {what}; compare with the venue")
        self.session.refuse(message.raw, 5, "a required field is missing or unreadable")

    def on_failure(self, session: FixSession, error: Exception) -> None:
        """The session failed in our own code: stop trading, then report. A failed worker stops its session only."""
        if isinstance(error, WorkerFailedError):
            self._owner.halt(ScopeKind.SESSION, self.index, f"WORKER_FAILED: {self.config.name}: {error}")
            return
        self._owner.on_fatal(f"session {self.config.name} failed: {error!r}")

    # -- market data by FIX --------------------------------------------------------------------

    def subscribe(self, symbols: list[str]) -> None:
        """Ask for the two best levels, snapshots, of ``symbols`` (sessions with market_data = "fix")."""
        if self._subscribed or not self.session.logged_on:
            return
        self._subscribed, self._symbols = True, symbols
        for first in range(0, len(symbols), _SYMBOLS_PER_REQUEST):
            some = symbols[first : first + _SYMBOLS_PER_REQUEST]
            self._requests += 1
            body: list[tuple[int, str | bytes | int]] = [(262, f"MD{self._requests}"), (263, 1), (264, 2), (265, 0)]
            body += [(267, 2), (269, 0), (269, 1), (146, len(some)), *((55, symbol) for symbol in some)]
            self.session.send("V", body)

    # -- hot and cold --------------------------------------------------------------------------

    def allow_hot(self) -> None:
        """From now on the step may drive this session while it is in order."""
        self.why_cold = self._loop.hot.bind(self.index, self.session)
        self.hot = not self.why_cold

    def _promote(self) -> None:
        """Offer the session to the step when nothing but orders and reports is to be expected of it.

        A session that came back because of a message rests for a while: more of the kind may follow.
        """
        if not self.hot:
            return
        if self.copies:
            self._loop.hot.inform(self.index)
        lane = self.session.lane
        assert lane is not None
        of_itself = sum(lane.demotions.values()) - lane.demotions.get("wish", 0) - lane.demotions.get("store", 0)
        now = time.monotonic()
        if of_itself != self._demotions:
            self._demotions, self._returned_at = of_itself, now
        if self.session.lane_out:
            self.why_cold = ""
        elif not self._live or self._list_request:
            self.why_cold = "logging on"
        elif now - self._returned_at < _REST_S:
            self.why_cold = "resting after a demotion"
        else:
            self.why_cold = self.session.offer_lane()

    def beat(self) -> None:
        """Ten times a second: offer the session to the step; keep quiet books of FIX alive, as a ring's heartbeat."""
        self._promote()
        if self._list_request and self._loop.now_ns() - self._list_asked_ns > _LIST_TIMEOUT_NS and self.session.steady:
            self._owner.on_alert("warning", f"{self.config.name}: no security list within 5 s: asking again")
            self._ask_list()
        if self._subscribed and self._live and self.session.steady:
            frame = new_frame(TIMER)
            frame["kind"], frame["timer"] = FrameKind.TIMER, FIX_SOURCE + self.index + 1
            frame["wall_ns"] = self._loop.now_ns()
            self._loop.post_frame(frame)

    # -- from the step -------------------------------------------------------------------------

    def _void_books(self) -> None:
        """The line that brought them is down: its books hold no longer, at once and not by their age."""
        frame = new_frame(TIMER)
        frame["kind"], frame["timer"], frame["period_ns"] = FrameKind.TIMER, FIX_SOURCE + self.index + 1, SOURCE_VOID
        self._loop.post_frame(frame)

    def tell_step(self, state: SessionState) -> None:
        """Post the session's state as a frame."""
        self._live = self._live or state == SessionState.LOGGED_ON
        frame = new_frame(SESSION)
        frame["kind"], frame["source"] = FrameKind.SESSION, self.index
        frame["session"], frame["state"] = self.index, state
        frame["next_in"], frame["next_out"] = self.session.next_in, self.session.next_out
        self._loop.post_frame(frame)

    def send(self, rows: Any, count: int) -> None:
        """Send ORDER rows. What cannot be sent stays pending in the step until the venue is asked."""
        first = 0
        while first < count:
            before = self.session.next_out
            part = min(count - first, _SEND_ROWS)
            try:
                self.session.send_orders(rows, part, first)
            except SessionNotLoggedOnError:
                return  # the step learns it from the session frame, and asks at the next logon
            except ThrottledError as e:
                self._refused_here([rows[k].copy() for k in e.refused], str(e), e.retry_after_s)
                self.messages_out += e.sent
                first += part
                continue
            except BackpressureError as e:
                self._refused_here([rows[k].copy() for k in range(first, first + part)], str(e), _RETRY_S)
                first += part
                continue
            except HotPathError as e:
                sent = self.session.next_out - before
                self._count_sent(rows, first, sent)
                first += sent
                if not self._cannot_say(rows[first], e):
                    return
                first += 1
                continue
            except (StoreError, FixError) as e:
                self._owner.on_fatal(f"session {self.config.name} cannot send: {e}")
                return
            self._count_sent(rows, first, part)
            first += part

    def _refused_here(self, rows: list[Any], reason: str, retry_after_s: float) -> None:
        """Rows that a limit of ours kept back: refused to the step, save mass requests, which are sent again."""
        for row in rows:
            if int(row["action"]) in _MASS:
                again = np.array([row], ORDER)
                asyncio.get_running_loop().call_later(retry_after_s, self.send, as_layout(again, ORDER), 1)
        self._hold_back([int(row["cl_ord_id"]) for row in rows if int(row["action"]) not in _MASS], reason)

    def _hold_back(self, ids: list[int], reason: str) -> None:
        """Tell the step that requests never left, as a venue would refuse them."""
        if not ids:
            return
        self.held_back += len(ids)
        self._owner.on_alert("warning", f"{self.config.name}: held back: {reason}")
        cells = refusals(self._loop.engine, self.index, ids, self._loop.now_ns())
        if len(cells):
            self._loop.post(cells, len(cells))

    def _count_sent(self, rows: Any, first: int, count: int) -> None:
        """Statistics of rows that left."""
        if count <= 0:
            return
        self.messages_out += count
        now = self._loop.now_ns()
        record_orders(
            self._latencies.histograms[Stage.TICK_TO_ORDER],
            self._latencies.sent_ns,
            rows[first : first + count],
            count,
            now,
        )

    def _cannot_say(self, row: Any, error: HotPathError) -> bool:
        """One order that cannot be put into FIX: its instrument stops. False where no instrument is to blame."""
        if int(row["action"]) in _MASS:
            self._owner.on_fatal(f"session {self.config.name} cannot send: {error}")
            return False
        self._owner.halt(ScopeKind.INSTRUMENT, int(row["instrument"]), f"ORDER_NOT_ENCODABLE: {error}")
        return True

    async def stop(self) -> None:
        """Log out and stay away."""
        self.hot = False
        await self.initiator.stop("shutting down")

    def close(self) -> None:
        """Close the store; the session's numbers are gone with it."""
        self._store.close()
