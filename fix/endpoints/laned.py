"""A session that can be driven by the step thread for a while: offering it, and taking it back.

While a lane is out (:attr:`Laned.lane_out`) nothing here touches machine, store or socket. Whatever
needs them calls :meth:`Laned.reclaim` first, and then finds a session as if it had been here all along:
so callers of a session do not know whether it was hot.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from fix.endpoints.connection import Connection
from fix.endpoints.gate import Gate
from fix.endpoints.hotpath import CodecHotPath, HotPath
from fix.endpoints.policy import Backpressure, Counters
from fix.errors import FixError, SettingsError, StoreError
from fix.lane import Handing, LaneDriver, LaneOwner, LaneReason, Lanes, Returned, lane_withdraw
from fix.lane import layout as at
from fix.latency import SessionLatency
from fix.session import SessionMachine, SessionSettings
from fix.session.settings import TestRequestPolicy
from fix.store import MessageStore, Store

_SECOND_NS = 1_000_000_000
#: Unsent bytes that a lane keeps trying to send; with more the session is asyncio's.
_TAIL_LIMIT = 1 << 16
#: After an offer that nobody took; at least one look at the socket.
_REST_S = 0.002
#: Looks of the ticker after which an offer that nobody takes is withdrawn: nobody reads the socket meanwhile.
_OFFER_TICKS = 2


class LaneStats(msgspec.Struct):
    """What a session's lane has done since the process began."""

    offers: int = 0
    #: Offers that were taken back before the step thread took them.
    withdrawn: int = 0
    #: Times that the step thread has had the session.
    promotions: int = 0
    demotions: dict[str, int] = msgspec.field(default_factory=dict)
    messages_in: int = 0
    messages_out: int = 0
    heartbeats_in: int = 0
    heartbeats_out: int = 0
    partial_sends: int = 0
    #: Times that it went on in the store's next window without coming back.
    windows: int = 0


class Laned(ABC):
    """The part of :class:`fix.endpoints.session.FixSession` that changes hands."""

    settings: SessionSettings
    store: Store
    machine: SessionMachine
    hot: HotPath | None
    counters: Counters
    backpressure: Backpressure
    latency: SessionLatency
    throttle: Gate | None
    _connection: Connection | None
    _clock: Callable[[], int]
    _due_ns: int
    _inside: int
    _resume: Any

    #: Of the lane; None before :meth:`bind_lane`.
    lane: LaneStats | None = None
    #: The lane is offered or the step thread's.
    lane_out: bool = False
    _lanes: Lanes
    _lane_k: int
    _driver: LaneDriver
    _resting: asyncio.Handle | None = None
    _received: int = -1  # messages until the lane came back for one that is not for it
    _unanswered: int
    _ticked_ns: int
    _next_wanted: bool = False  # the lane has no next window

    @abstractmethod
    def _flush(self) -> None:
        """Put out what the machine has said."""

    @abstractmethod
    def _go_later(self, connection: Connection) -> None:
        """Take what is unread in the next turn of the loop, and receive again."""

    @abstractmethod
    def _stay(self) -> None:
        """Forget about :meth:`_go_later`: what is unread goes elsewhere."""

    # ------------------------------------------------------------ offering

    def bind_lane(self, lanes: Lanes, k: int, driver: LaneDriver) -> None:
        """Give the session lane ``k``, which ``driver`` runs. Nothing is offered yet.

        Raises
        ------
        SettingsError
            The lane is taken, or the session can never be hot: no kernels, a store that is not on disk.
        """
        if self.lane is not None:
            raise SettingsError(f"{self.settings.name}: has a lane already")
        if not isinstance(self.hot, CodecHotPath):
            raise SettingsError(f"{self.settings.name}: a lane needs the kernels of CodecHotPath; give FixSession hot")
        if not isinstance(self.store, MessageStore):
            raise SettingsError(f"{self.settings.name}: a lane needs a MessageStore; this store has no window")
        lanes.bind(k, self.hot.link, self.hot.symbols)
        self._lanes, self._lane_k, self._driver = lanes, k, driver
        self.lane = LaneStats()

    def unbind_lane(self) -> None:
        """Take the lane away again."""
        if self.lane is not None:
            self.reclaim()
            self._lanes.unbind(self._lane_k)
            self.lane = None

    def why_not_hot(self) -> str:
        """Why the lane cannot be offered now; empty when it can."""
        machine, connection = self.machine, self._connection
        if self.lane is None:
            return "no lane is bound"
        if self.lane_out:
            return "it is out"
        if self._resting is not None:
            return "the last offer was not taken: the socket is read first"
        if self._inside:
            return "busy: a callback of this session is running"
        if connection is None or connection.dead or not machine.steady or machine.draining:
            return "the session is not steady"
        if connection.fd < 0:
            return "the connection is encrypted"
        if connection.backlog_bytes or self._resume is not None:
            return "bytes are unsent"
        if machine.next_in != self.store.next_in:
            return "messages are taken and not yet committed"
        if connection.end - connection.start > at.RECEIVE_BYTES // 2:
            return "too much is unread"
        if connection.start < connection.end and self._received == self._messages_in():
            return "a message that the step thread cannot take is not whole yet"
        if self.throttle is not None and self.throttle.waiting:
            return "messages wait for the throttle"
        heartbeat_ns, silence_ns = self._intervals()
        if heartbeat_ns and self._ages()[1] >= min(heartbeat_ns, silence_ns):
            return "the peer is silent"
        return ""

    def offer_lane(self) -> str:
        """Offer the session to the step thread; why not, or nothing when it is offered.

        Until the thread takes it, and after it gives it back, :meth:`reclaim` makes it asyncio's.
        """
        reason = self.why_not_hot()
        if reason or self.lane is None:
            return reason
        self._flush()
        connection = self._connection
        if connection is None or connection.backlog_bytes:
            return "bytes are unsent"
        assert isinstance(self.store, MessageStore)
        try:
            window = self.store.open_window()
        except StoreError as error:
            return str(error)
        self._stay()
        self.latency.forget_requests()  # their answers come another way
        heartbeat_ns, silence_ns = self._intervals()
        sent_ago_ns, received_ago_ns = self._ages()
        limits, sent = (0, 0, 0), []
        if self.throttle is not None:
            settings = self.throttle.throttle.settings
            limits = (settings.messages, settings.reserve_for_cancels, round(settings.window_s * 1e9))
            sent = self.throttle.throttle.sent
        self._lanes.offer(
            self._lane_k,
            Handing(
                fd=connection.fd, next_in=self.machine.next_in, next_out=self.store.next_out,
                unread=connection.lend(), window=window, shift_ns=self._clock() - self._driver.now_ns(),
                sent_ago_ns=sent_ago_ns, received_ago_ns=received_ago_ns, heartbeat_ns=heartbeat_ns,
                silence_ns=silence_ns, tail_limit=min(_TAIL_LIMIT, self.backpressure.max_backlog_bytes),
                throttle=limits, throttle_sent=sent,
            ),
        )  # fmt: skip
        self.lane.offers += 1
        self._unanswered, self._ticked_ns = 0, -1
        self.lane_out = self._next_wanted = True
        self._mind_window()
        return ""

    def _ages(self) -> tuple[int, int]:
        """How long ago something was sent, and received."""
        now_ns, snapshot = self._clock(), self.machine.snapshot()
        sent_ns, received_ns = snapshot["last_sent_ns"], snapshot["last_received_ns"]
        assert isinstance(sent_ns, int) and isinstance(received_ns, int)
        return max(now_ns - sent_ns, 0), max(now_ns - received_ns, 0)

    def _intervals(self) -> tuple[int, int]:
        """HeartBtInt, and the silence after which the machine has something to do."""
        interval_s = self.machine.snapshot()["heartbeat_interval_s"]
        assert isinstance(interval_s, int)
        settings = self.settings
        asks = settings.test_request_policy is not TestRequestPolicy.NEVER
        intervals = settings.test_request_after if asks else settings.disconnect_after
        return interval_s * _SECOND_NS, int(intervals * interval_s * _SECOND_NS)

    # ------------------------------------------------------------ taking back

    def reclaim(self) -> None:
        """Make the session asyncio's, whoever has it now.

        Raises
        ------
        FixError
            The step thread does not give it back; nothing has changed.
        """
        if not self.lane_out:
            return
        k, lanes = self._lane_k, self._lanes
        if not lane_withdraw(lanes.state, k):
            lanes.wish(k)
            if lanes.owner(k) is not LaneOwner.RETURNED and not self._driver.wait_returned(lanes.state, k):
                raise FixError(
                    f"{self.settings.name}: the step thread does not give its lane {k} back; it is stuck: "
                    "stop the process, the store holds everything that was sent"
                )
        self._adopt()

    def tend_lane(self) -> bool:
        """Take the session back if the step thread has returned it; whether it had."""
        if not self.lane_out:
            return False
        if self._lanes.owner(self._lane_k) is LaneOwner.RETURNED:
            self._adopt()
            return True
        self._mind_window()
        return False

    # ------------------------------------------------------------ the store's windows

    def _mind_window(self) -> None:
        """Let the lane have a next window of the store before its own is full."""
        store = self.store
        assert isinstance(store, MessageStore)
        self._note_moves()
        if not self._next_wanted:
            return
        window = store.next_window()
        if window is not None:
            self._lanes.lend_next(self._lane_k, window)
            self._next_wanted = False
        else:
            loop = asyncio.get_running_loop()

            def over() -> None:
                with suppress(RuntimeError):  # the loop is closed: nobody wants it
                    loop.call_soon_threadsafe(self._window_over)

            store.prepare_window(over)

    def _note_moves(self) -> None:
        """The window that the lane has left is the store's to clear away."""
        if not self._next_wanted and self._lanes.went_on(self._lane_k):
            assert isinstance(self.store, MessageStore) and self.lane is not None
            self.store.turn_window()
            self.lane.windows += 1
            self._next_wanted = True

    def _window_over(self) -> None:
        """A preparation is over, well or not."""
        if self.lane_out:
            self._mind_window()
        elif isinstance(self.store, MessageStore):
            self.store.next_window()

    def _messages_in(self) -> int:
        counters = self.counters
        return counters.hot_in + counters.steady_in + counters.machine_in

    def _tick_lane(self) -> None:
        """The ticker's look at a lane that is out."""
        if self.tend_lane():
            return
        lanes, k = self._lanes, self._lane_k
        if lanes.owner(k) is LaneOwner.OFFERED:
            self._unanswered += 1
            if self._unanswered == _OFFER_TICKS:  # nothing is received meanwhile
                self.reclaim()
        elif self._driver.same_thread and lanes.word(k, at.TICKED_NS) == self._ticked_ns:
            self.reclaim()  # nobody turns
        self._ticked_ns = lanes.word(k, at.TICKED_NS)

    def _adopt(self) -> None:
        """Carry on where the lane has stopped."""
        self._note_moves()
        returned = self._lanes.take(self._lane_k)
        self.lane_out = False
        assert isinstance(self.store, MessageStore)
        self.store.take_window()
        if self.throttle is not None:
            self.throttle.throttle.sent = returned.throttle_sent
        self._count(returned)
        self._received = self._messages_in() if returned.reason is LaneReason.MESSAGE else -1
        now_ns, machine = self._clock(), self.machine
        if returned.next_in != machine.next_in:
            machine.advance_hot_in(returned.next_in - machine.next_in, now_ns - returned.received_ago_ns)
        if returned.messages_out or returned.heartbeats_out:
            machine.hot_sent(now_ns - returned.sent_ago_ns)
        self._due_ns = 0
        connection = self._connection
        if connection is None or connection.dead:
            return
        connection.put_back(returned.unread, returned.bytes_in)
        if returned.unsent:
            connection.write(returned.unsent)  # before anything that is said from now on
        if returned.unread:
            self._go_later(connection)
        else:
            connection.resume()

    def _count(self, returned: Returned) -> None:
        lane, counters = self.lane, self.counters
        assert lane is not None
        if returned.reason is LaneReason.NONE:
            lane.withdrawn += 1
            # Offer upon offer, each withdrawn before the loop came to look at the socket, would leave it unread.
            self._resting = asyncio.get_running_loop().call_later(_REST_S, self._look)
        else:
            lane.promotions += 1
            name = returned.reason.name.lower()
            lane.demotions[name] = lane.demotions.get(name, 0) + 1
        for name in ("messages_in", "messages_out", "heartbeats_in", "heartbeats_out", "partial_sends"):
            setattr(lane, name, getattr(lane, name) + getattr(returned, name))
        counters.hot_in += returned.messages_in
        counters.messages_out += returned.messages_out
        counters.bytes_out += returned.bytes_out

    def _look(self) -> None:
        """The rest is over; but uvloop runs timers before it looks at sockets: two turns on, it has looked."""
        self._resting = asyncio.get_running_loop().call_soon(self._looked)

    def _looked(self) -> None:
        self._resting = asyncio.get_running_loop().call_soon(self._rested)

    def _rested(self) -> None:
        self._resting = None

    # ------------------------------------------------------------ looking at it

    @property
    def lane_backlog(self) -> int:
        """Bytes that the socket has not taken from the lane."""
        return self._lanes.word(self._lane_k, at.TAIL_END) - self._lanes.word(self._lane_k, at.TAIL_START)

    def lane_snapshot(self) -> dict[str, Any] | None:
        """State of the lane for people; None without one."""
        if self.lane is None:
            return None
        owner = self._lanes.owner(self._lane_k).name.lower()
        assert isinstance(self.store, MessageStore)
        state = {"number": self._lane_k, "owner": owner, "why_no_next_window": self.store.why_no_next}
        return state | msgspec.to_builtins(self.lane)
