"""A session of role ``drop_copy``: receives copies, has them reconciled, and stops what does not agree.

Beside the pairing of executions (``dropcopy.py``) it keeps a second count: the position that the step
holds in each instrument against the sum of the executions that were handed to it. The chain is then
closed: the venue's copy, our sessions' reports and the step's books say the same, or somebody is told.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from config.sessions import SessionConfig
from engine.dropcopy import Fault, Ledger, Mismatch, Reconciler
from engine.gateway import Gateway, GatewayOwner
from engine.loop import StepLoop
from engine.sessionnews import news
from engine.sessions import AnyStore, build_session, open_session
from fix.codec import SymbolTable
from fix.endpoints import CodecHotPath, FixSession
from fix.messages import parse
from fix.session import Role, SessionEvent, State
from market.enums import ScopeKind
from market.records import EXEC_BAD_VALUE, EXEC_UNKNOWN_SYMBOL

_UNREADABLE = EXEC_BAD_VALUE | EXEC_UNKNOWN_SYMBOL  # the step books nothing for such a report


#: Looks, a tenth of a second apart, in which a difference must stay the same: the step may be in the middle of an
#: execution that it has applied and not yet handed on.
LOOKS = 3


class PositionCheck:
    """The step's positions against the sum of the executions it was given, since the start."""

    def __init__(self, positions: npt.NDArray[Any]) -> None:
        self._base = positions.astype(np.int64)
        self._net = np.zeros(len(positions), np.int64)
        self._doubtful: set[int] = set()
        self._difference = np.zeros(len(positions), np.int64)  # at the last look
        self._looks = np.zeros(len(positions), np.int64)  # at which it was this one

    def take(self, rows: Any, change_of: Callable[[int], int]) -> None:
        """Executions that the step was given, each once; ``change_of`` an ExecID: how it moves the position."""
        for row in rows:
            number = int(row["instrument"])
            if int(row["flags"]) & _UNREADABLE or number >= len(self._net):
                continue
            self._net[number] += change_of(int(row["exec_id"]))
            if row["poss_dup"]:
                self._doubtful.add(number)  # whether the step had booked it before cannot be told from the row

    def wrong(self, positions: npt.NDArray[Any], covered: npt.NDArray[np.bool_]) -> list[tuple[int, int, int]]:
        """(instrument, expected, held) where they have differed for LOOKS calls, among ``covered``; said once each."""
        expected = self._base + self._net
        difference = np.where(covered, positions - expected, 0)
        self._looks = np.where(difference == self._difference, self._looks + 1, 1)
        self._difference = difference
        settled = self._looks >= LOOKS
        doubtful = [number for number in self._doubtful if settled[number]]
        self._doubtful.difference_update(doubtful)
        wrong = np.flatnonzero((difference != 0) & settled)
        self._base[wrong] += difference[wrong]
        self._difference[wrong], self._looks[wrong] = 0, 0
        return [(int(n), int(expected[n]), int(positions[n])) for n in wrong if n not in doubtful]


class CopyGateway:
    """One drop-copy session and what it checks.

    Parameters
    ----------
    covered
        The gateways whose executions it must repeat: those of the same venue.
    directory
        Where its ledger is kept.
    """

    def __init__(
        self,
        index: int,
        config: SessionConfig,
        store: AnyStore,
        symbols: SymbolTable,
        loop: StepLoop,
        owner: GatewayOwner,
        covered: list[Gateway],
        directory: Path,
    ) -> None:
        self.index = index
        self.config = config
        self.covered = covered
        self.detail = "not connected"
        self.messages_in = self.messages_out = 0
        self.reconnects = -1
        self.last_copy_ns = 0
        self._loop = loop
        self._owner = owner
        self._store = store
        self._started = False
        self._down_since = 0.0
        self._said_down = False
        self._stalled = False
        self._record = directory / f"{self.config.name}.mismatches.jsonl"
        self.ledger = Ledger(directory / f"{self.config.name}.ledger")
        self.reconciler = Reconciler(self.config.drop_copy_timeout_ms * 1_000_000, self.ledger, loop.now_ns())
        self.positions = PositionCheck(np.asarray(loop.engine.risk.instruments["position"]))
        # For copies that come as text: of a session whose own settings the kernels cannot write.
        self._decoder = CodecHotPath(
            config.begin_string, config.sender_comp_id, config.target_comp_id, symbols, Role.INITIATOR, index
        )
        self.session, self.initiator = open_session(build_session(config), store, self, symbols, index)
        for gateway in covered:
            gateway.copies.append(self)

    def start(self) -> None:
        """Connect, once the instruments are known: a copy in an unknown symbol has no price."""
        if not self._started:
            self._started = True
            self._down_since = time.monotonic()
            self.initiator.start()

    # -- both sides ------------------------------------------------------------------------------

    def own(self, session: int, cells: npt.NDArray[np.uint8], count: int) -> None:
        """Frames that a trading session has just handed to the step."""
        fresh = self.reconciler.own(session, cells, count, self._loop.now_ns())
        self.positions.take(fresh, self.reconciler.change_of)

    def on_frames(self, session: FixSession, frames: npt.NDArray[np.uint8], count: int) -> None:
        """Copies."""
        self.messages_in += count
        self.last_copy_ns = self._loop.now_ns()
        self.reconciler.copied(frames, count, self.last_copy_ns)

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Whatever has no frame: a copy that lacks a field is refused; the execution it was of is then missing."""
        self.messages_in += 1
        name = self.config.name
        if msg_type in ("8", "9"):
            count = self._decoder.decode_one(raw)
            if count:
                self.on_frames(session, self._decoder.frames, count)
                return
            self._owner.on_alert("error", f"{name}: copy {parse(raw).seq} cannot be read")
            session.refuse(raw, 5, "a required field is missing or unreadable")
        elif msg_type != "j":  # we ask nothing, so a refusal is of nothing that matters
            self._owner.on_alert("warning", f"{name}: message of type {msg_type} is not handled")

    # -- the session -----------------------------------------------------------------------------

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        """Say when it comes and goes."""
        self.detail = reason or state.value
        if state == State.LOGGED_ON:
            self.reconnects += 1
            self._said_down = False
            self._down_since = 0.0
            self._owner.on_alert("info", f"{self.config.name}: drop copy logged on")
        elif state == State.DISCONNECTED and not self._down_since:
            self._down_since = time.monotonic()
            self._owner.on_alert("warning", f"{self.config.name}: drop copy down {reason}".rstrip())

    def on_event(self, session: FixSession, event: SessionEvent) -> None:
        """What the session noticed; copies that will never come show as executions that are missing."""
        said = news(event)
        if said is not None:
            self._owner.on_alert(said[0], f"{self.config.name}: {said[1]}")

    def on_failure(self, session: FixSession, error: Exception) -> None:
        """Our own code failed: nothing is checked any more, so nothing may trade."""
        self._owner.on_fatal(f"drop copy {self.config.name} failed: {error!r}")

    # -- by the clock ----------------------------------------------------------------------------

    @property
    def listening(self) -> bool:
        """Whether copy and sessions are all there, with nothing missing."""
        return self.session.steady and all(gateway.session.steady for gateway in self.covered)

    def beat(self) -> None:
        """Ten times a second: what is overdue, what differs, whether anybody checks at all."""
        stalled, self._stalled = self._stalled, False
        for mismatch in self.reconciler.check(self._loop.now_ns(), self.listening and not stalled):
            self._stop_trading(mismatch)
        news, self.reconciler.news = self.reconciler.news, []
        for text in news:
            self._owner.on_alert("warning", f"{self.config.name}: {text}")
            self._write_down("resolved", text)
        if self._loop.frames_behind() == 0:
            self._check_positions()
        self._check_presence()

    def stalled(self) -> None:
        """Our process stood still: what came meanwhile is unread, and late by our fault. The time begins anew."""
        self._stalled = True

    def _check_positions(self) -> None:
        engine = self._loop.engine
        rows = np.asarray(engine.instruments)
        ours = np.isin(rows["session"], [gateway.index for gateway in self.covered]) & (rows["symbol"] != b"")
        for number, expected, held in self.positions.wrong(np.asarray(engine.risk.instruments["position"]), ours):
            symbol = bytes(rows[number]["symbol"]).decode("ascii")
            text = f"POSITION_MISMATCH: {symbol}: executions say {expected}, the step holds {held}"
            self._write_down("position", text)
            self._owner.halt(ScopeKind.SESSION, int(rows[number]["session"]), text)

    def _stop_trading(self, mismatch: Mismatch) -> None:
        """Halt the session that the execution is of; where nobody knows, all that it could be of."""
        text = f"DROP_COPY_MISMATCH: {mismatch.text}; compare with the venue, then axiom session accept and resume"
        self._write_down(mismatch.fault.name.lower(), mismatch.text)
        for index in self._sessions_of(mismatch):
            self._owner.halt(ScopeKind.SESSION, index, text)

    def _sessions_of(self, mismatch: Mismatch) -> list[int]:
        known = [gateway.index for gateway in self.covered]
        if mismatch.session in known:
            return [mismatch.session]
        instruments = self._loop.engine.instruments
        if mismatch.fault is Fault.NOT_OURS and mismatch.instrument < len(instruments):
            session = int(instruments[mismatch.instrument]["session"])
            if session in known:
                return [session]
        return known

    def _check_presence(self) -> None:
        """A drop copy that stays away, where trading may not go on unchecked."""
        down = self._down_since and time.monotonic() - self._down_since > self.config.drop_copy_timeout_ms / 1000
        if not down or self._said_down or self.config.drop_copy_lost != "halt":
            return
        self._said_down = True
        for gateway in self.covered:
            text = f"DROP_COPY_DOWN: {self.config.name} is down ({self.detail}): nobody checks {gateway.config.name}"
            self._owner.halt(ScopeKind.SESSION, gateway.index, text)

    def _write_down(self, what: str, text: str) -> None:
        line = {"ts_ns": time.time_ns(), "drop_copy": self.config.name, "what": what, "text": text}
        with self._record.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")

    # -- for people ------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """What status shows."""
        reconciler = self.reconciler
        return {
            "name": self.config.name,
            "venue": self.config.venue,
            "covers": [gateway.config.name for gateway in self.covered],
            "state": self.session.state.name,
            "detail": self.detail,
            "listening": self.listening,
            "next_in": self.session.next_in,
            "next_out": self.session.next_out,
            "reconnects": max(0, self.reconnects),
            "messages_in": self.messages_in,
            "matched": reconciler.matched,
            "trades": reconciler.trades,
            "trades_before": reconciler.restored,
            "pending": reconciler.pending,
            "mismatched": reconciler.mismatched,
            "unresolved": len(reconciler.open),
            "resolved": reconciler.resolved,
            "accepted": reconciler.accepted,
            "lag_us": reconciler.lag_us(),
            "open": [mismatch.text for mismatch in list(reconciler.open.values())[:5]],
        }

    def accept(self) -> int:
        """A person has explained what is open."""
        for mismatch in self.reconciler.open.values():
            self._write_down("accepted", mismatch.text)
        return self.reconciler.accept()

    # -- the end ---------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Wait a moment for copies that are on their way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.drop_copy_timeout_ms / 1000):
                while self.reconciler.pending and self.session.logged_on:
                    await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Log out and stay away."""
        await self.initiator.stop("shutting down")

    def sync(self) -> None:
        """Force the ledger to the disk; blocking, any thread."""
        self.ledger.sync()

    def close(self) -> None:
        """Close store and ledger."""
        self._store.close()
        self.ledger.close()
