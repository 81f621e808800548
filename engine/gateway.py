"""The FIX sessions of the daemon: one handler each, between endpoint and step.

What arrives is posted to the step before the endpoint counts it as taken; what the step puts out is
sent in one batch per session. Security lists are collected here and handed to the directory.
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
from fix.errors import FixError, SessionNotLoggedOnError, StoreError
from fix.messages import parse
from fix.session import Role, SessionSettings, State
from fix.store import MessageStore
from market.enums import FrameKind, SessionState
from market.records import EXECUTION, SESSION, as_layout
from market.rings import FRAME_WORDS

_SECURITY_LIST = "y"
_REJECTS = {"3", "j"}


class GatewayOwner(Protocol):
    """What a gateway tells the daemon."""

    def on_listings(self, gateway: "Gateway", page: Page) -> None:
        """One page of the venue's security list."""

    def on_link(self, gateway: "Gateway", up: bool, reason: str) -> None:
        """The session logged on or was lost."""

    def on_alert(self, severity: str, text: str) -> None:
        """Something a person must see."""

    def on_fatal(self, reason: str) -> None:
        """Trading cannot go on."""


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
        now = self._loop.now_ns()
        record_answers(
            self._latencies.histograms[Stage.ACK], self._latencies.sent_ns, as_layout(frames, EXECUTION), count, now
        )
        self._loop.post(frames[:count].view(np.int64).reshape(count, FRAME_WORDS), count)

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Everything that has no frame."""
        self.messages_in += 1
        if msg_type == _SECURITY_LIST:
            page = read_page(raw)
            for refused in page.refused:
                self._owner.on_alert("error", f"{self.config.name}: security list entry not understood: {refused}")
            self._owner.on_listings(self, page)
        elif msg_type in _REJECTS:
            message = parse(raw)
            self._owner.on_alert(
                "error", f"{self.config.name}: venue rejected our message {message.text(45)}: {message.text(58)}"
            )
        elif msg_type != "r":  # a mass cancel's own report: the orders' reports say it all
            self._owner.on_alert("warning", f"{self.config.name}: message of type {msg_type} is not handled")

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        """Tell the step when the line goes down, the daemon when it comes up."""
        self.detail = reason or state.value
        if state == State.LOGGED_ON:
            self.reconnects += 1
            self.listed = False
            self.session.send("x", [(320, f"SL{self.reconnects}"), (559, 4)])
            self._owner.on_link(self, True, reason)
        elif state == State.DISCONNECTED:
            self.tell_step(SessionState.DOWN)
            self._owner.on_link(self, False, reason)

    def on_failure(self, session: FixSession, error: Exception) -> None:
        """The session failed in our own code: stop trading, then report."""
        self._owner.on_fatal(f"session {self.config.name} failed: {error!r}")

    # -- from the step -------------------------------------------------------------------------

    def tell_step(self, state: SessionState) -> None:
        """Post the session's state as a frame."""
        frame = new_frame(SESSION)
        frame["kind"], frame["source"] = FrameKind.SESSION, self.index
        frame["session"], frame["state"] = self.index, state
        frame["next_in"], frame["next_out"] = self.session.next_in, self.session.next_out
        self._loop.post_frame(frame)

    def send(self, rows: Any, count: int) -> None:
        """Send ORDER rows. What cannot be sent stays pending in the step until the venue is asked."""
        try:
            self.session.send_orders(rows, count)
        except SessionNotLoggedOnError:
            return  # the step learns it from the session frame, and asks at the next logon
        except StoreError as e:
            self._owner.on_fatal(f"session {self.config.name}: {e}")
            return
        except FixError as e:
            self._owner.on_fatal(f"session {self.config.name} cannot send: {e}")
            return
        self.messages_out += count
        now = self._loop.now_ns()
        record_orders(self._latencies.histograms[Stage.TICK_TO_ORDER], self._latencies.sent_ns, rows, count, now)

    async def stop(self) -> None:
        """Log out and stay away."""
        await self.initiator.stop("shutting down")

    def close(self) -> None:
        """Close the store; the session's numbers are gone with it."""
        self._store.close()
