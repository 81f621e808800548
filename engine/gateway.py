"""The FIX sessions of the daemon: one handler each, between endpoint and step.

What arrives is posted to the step before the endpoint counts it as taken; what the step puts out is
sent in one batch per session. Security lists are collected here and handed to the directory.

The step may believe what it knows of a session's orders only while nothing of that session is
missing. A gap, a reset of the sequence numbers or a message of ours that the venue refused ends
that: the step is told that the session is down (no new orders, open ones UNKNOWN), and up again
when the messages are there, whereupon it asks the venue for all our orders.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from config.schema import SessionConfig
from engine.latency import Latencies, Stage, record_answers, record_orders
from engine.loop import StepLoop, new_frame
from engine.securities import Page, read_page
from fix.codec import SymbolTable
from fix.endpoints import CodecHotPath, FixSession, Initiator, Reconnect
from fix.errors import FixError, HotPathError, SessionNotLoggedOnError, StoreError
from fix.messages import Message, parse
from fix.session import (
    GapDetected,
    GapFilled,
    Garbled,
    PeerReject,
    Resent,
    Role,
    SequencesReset,
    SessionEvent,
    SessionSettings,
    State,
)
from fix.store import MessageStore
from market.enums import FrameKind, OrderAction, ScopeKind, SessionState
from market.records import EXECUTION, SESSION, TIMER, as_layout
from market.rings import FRAME_WORDS

_SECURITY_LIST = "y"
_BUSINESS_REJECT = "j"
_DATA_REJECT = "Y"
_ORDER_TYPES = frozenset("DGFq")  # MsgTypes of ours whose refusal leaves an order in the dark
_SYMBOLS_PER_REQUEST = 100
_LIST_TIMEOUT_NS = 5_000_000_000
_MASS = (int(OrderAction.MASS_CANCEL), int(OrderAction.MASS_STATUS))


#: A move of the spot requotes a thousand series at once: the first of them leave while the last are encoded.
_SEND_ROWS = 256


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
        store: MessageStore,
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
        self.reconnects = -1
        self.listed = False
        self.last_in_ns = 0  # step time of the last message of the application
        self._live = False  # since this logon the step was told that the session is up
        self._subscribed = False
        self._requests = 0
        self._list_request = ""  # SecurityReqID of the list that is awaited, empty when it is complete
        self._list_seq = 0
        self._list_asked_ns = 0
        self._symbols: list[str] = []
        self._loop = loop
        self._latencies = latencies
        self._owner = owner
        self._store = store
        settings = SessionSettings(
            begin_string=config.begin_string,
            sender_comp_id=config.sender_comp_id,
            target_comp_id=config.target_comp_id,
            role=Role.INITIATOR,
            heartbeat_interval_s=config.heartbeat_interval_s,
            reset_on_logon=config.reset_on_logon,
            recover_by_reset=True,
        )
        hot = CodecHotPath.for_session(settings, symbols, index)
        self.session = FixSession(settings, store, self, hot, index)
        self.initiator = Initiator(
            self.session,
            config.host,
            config.port,
            Reconnect(first_s=config.reconnect_min_ms / 1000, max_s=config.reconnect_max_ms / 1000),
        )

    # -- SessionHandler ------------------------------------------------------------------------

    def on_frames(self, session: FixSession, frames: npt.NDArray[np.uint8], count: int) -> None:
        """Execution reports, cancel rejects and FIX market data: into the step."""
        self.messages_in += count
        now = self.last_in_ns = self._loop.now_ns()
        record_answers(
            self._latencies.histograms[Stage.ACK], self._latencies.sent_ns, as_layout(frames, EXECUTION), count, now
        )
        self._loop.post(frames[:count].view(np.int64).reshape(count, FRAME_WORDS), count)

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
        elif msg_type in ("8", "9"):
            self._unreadable_report(parse(raw))
        elif msg_type != "r":  # a mass cancel's own report: the orders' reports say it all
            self._owner.on_alert("warning", f"{self.config.name}: message of type {msg_type} is not handled")

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        """Tell the step when the line goes down, the daemon when it comes up."""
        self.detail = reason or state.value
        if state == State.LOGGED_ON:
            self.reconnects += 1
            self.listed = self._live = self._subscribed = False
            self._owner.on_link(self, True, reason)
            self._ask_list()
        elif state == State.DISCONNECTED:
            self._list_request = ""
            self.listed = self._live = self._subscribed = False
            self.tell_step(SessionState.DOWN)
            self._owner.on_link(self, False, reason)

    def on_event(self, session: FixSession, event: SessionEvent) -> None:
        """What the session itself noticed."""
        name = self.config.name
        if isinstance(event, GapDetected):
            self._owner.on_alert("warning", f"{name}: messages {event.begin}..{event.end} are missing: asked again")
            if self._live:
                self.tell_step(SessionState.DOWN)
        elif isinstance(event, GapFilled):
            self._ask_again()
        elif isinstance(event, Resent):
            self._resent(event)
        elif isinstance(event, SequencesReset):
            self._sequences_reset(event)
        elif isinstance(event, PeerReject):
            self._refused(event.ref_msg_type, str(event.ref_seq), event.text)
        elif isinstance(event, Garbled):
            self._owner.on_alert("warning", f"{name}: ignored bytes that are no message: {event.reason}")

    def _ask_list(self) -> None:
        """Ask for everything that the venue lists."""
        self._requests += 1
        self._list_request = f"SL{self._requests}"
        self._list_asked_ns = self._loop.now_ns()
        self._list_seq = self.session.send("x", [(320, self._list_request), (559, 4)])
        self._owner.on_list_asked(self)

    def _resent(self, event: Resent) -> None:
        """The venue has asked for what we sent. Requests are never repeated, but gap-filled: it did not act on them."""
        if not event.gap_filled or not self.session.logged_on:
            return
        if self._list_request and event.begin <= self._list_seq <= event.end:
            self._ask_list()
        if self._subscribed:
            self._subscribed = False
            self.subscribe(self._symbols)
        self._ask_again()

    def _ask_again(self) -> None:
        """After a doubt: the venue's word on all our orders, before another one is sent."""
        if self._live and self.session.logged_on:
            self.tell_step(SessionState.DOWN)
            self.tell_step(SessionState.LOGGED_ON)

    def _sequences_reset(self, event: SequencesReset) -> None:
        """Reports that the venue had not delivered are lost: with orders open, so may be fills."""
        name, who = self.config.name, "the venue" if event.by_peer else "we"
        open_orders = int(self._loop.engine.risk.sessions[self.index]["open_orders"])
        self._owner.on_alert("warning", f"{name}: {who} reset the sequence numbers")
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
        """The session failed in our own code: stop trading, then report."""
        self._owner.on_fatal(f"session {self.config.name} failed: {error!r}")

    # -- market data by FIX --------------------------------------------------------------------

    def subscribe(self, symbols: list[str]) -> None:
        """Ask for top of book, snapshots, of ``symbols`` (sessions with market_data = "fix")."""
        if self._subscribed or not self.session.logged_on:
            return
        self._subscribed, self._symbols = True, symbols
        for first in range(0, len(symbols), _SYMBOLS_PER_REQUEST):
            some = symbols[first : first + _SYMBOLS_PER_REQUEST]
            self._requests += 1
            body: list[tuple[int, str | bytes | int]] = [(262, f"MD{self._requests}"), (263, 1), (264, 1), (265, 0)]
            body += [(267, 2), (269, 0), (269, 1), (146, len(some)), *((55, symbol) for symbol in some)]
            self.session.send("V", body)

    def beat(self) -> None:
        """Ten times a second: a session that is in order keeps its quiet books alive, as a ring's heartbeat does."""
        if self._list_request and self._loop.now_ns() - self._list_asked_ns > _LIST_TIMEOUT_NS and self.session.steady:
            self._owner.on_alert("warning", f"{self.config.name}: no security list within 5 s: asking again")
            self._ask_list()
        if self._subscribed and self._live and self.session.steady:
            frame = new_frame(TIMER)
            frame["kind"], frame["timer"], frame["wall_ns"] = FrameKind.TIMER, self.index + 1, self._loop.now_ns()
            self._loop.post_frame(frame)

    # -- from the step -------------------------------------------------------------------------

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
        await self.initiator.stop("shutting down")

    def sync(self) -> None:
        """Force the message store to the disk; blocking, any thread."""
        self._store.sync()

    def close(self) -> None:
        """Close the store; the session's numbers are gone with it."""
        self._store.close()
