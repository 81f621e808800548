"""One venue, joined: sessions, delay lines, core, trade log, market data.

Everything runs on the event loop's thread, per batch: what a socket delivered in one read is one
batch, as is one step of the order flow. The order of effects is fixed and is what makes the log the
truth: books change, reports are appended to the log, and only then does a report enter a message
store and a socket. A failure of log or store ends the venue (``on_fatal``): a venue that cannot
write down what it did must not go on doing it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from fix.codec import NO_INSTRUMENT, SymbolTable
from fix.endpoints import Acceptor, FixSession
from fix.errors import FixError, StoreError
from fix.session import SequencesReset, SessionEvent, State
from market import records
from market.enums import FrameKind, OrderAction, TradingStatus
from market.rings import BroadcastRing
from simulator.errors import OperatorError, SimulatorError
from simulator.matching import Word, set_status
from simulator.tradelog import TradeLog, read_log
from simulator.venue.application import Application, mass_cancel_report, unknown_symbol_report
from simulator.venue.clients import Client, Participants, open_client
from simulator.venue.core import FrameBuffer, VenueCore
from simulator.venue.delayline import NEVER_NS, DelayLine, DueTimer
from simulator.venue.dropcopy import open_copies
from simulator.venue.kernels import BatchStop, claim_commands, group_by_session, is_cold, route_commands
from simulator.venue.marketclock import MarketClock
from simulator.venue.operations import Operations
from simulator.venue.publisher import MarketDataPublisher
from simulator.venue.recovery import next_generation, restart_cancels, unsent_reports
from simulator.venue.reference import SessionStatus
from simulator.venue.requests import Tickets
from simulator.venue.securities import SecurityList
from simulator.venue.settings import FIRST_CLIENT, VenueSettings

log = structlog.get_logger()

_BATCH = 1 << 12  # frames taken from a delay line at once
_END = object()
_LAST_EXEC = int(Word.LAST_EXEC)
_ORDERS_SEED, _REPORTS_SEED = 1, 2  # the two directions draw different jitter from one seed


class Venue:
    """A venue of the simulated market; ``start`` it inside a running event loop.

    Parameters
    ----------
    settings
        See :class:`VenueSettings`.
    instruments
        INSTRUMENT rows by book number.
    instrument_of
        int64[books]: each book's instrument number in the whole market.
    underlyings
        Symbol of the underlying of each book's instrument.
    market_tops
        QUOTE per instrument of the whole market, which the order flow reads.
    clock
        Market time.
    source
        Written to ``header.source`` of the market data: the venue's number.
    on_internal
        Called with EXECUTION rows and their number: reports to participants without FIX.
    on_fatal
        Called once with the error after which the venue must not go on.
    """

    def __init__(
        self,
        settings: VenueSettings,
        instruments: Any,
        instrument_of: npt.NDArray[np.int64],
        underlyings: list[str],
        market_tops: FrameBuffer,
        clock: MarketClock,
        *,
        source: int = 0,
        on_internal: Callable[[Any, int], None] = lambda _rows, _count: None,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.instruments = instruments
        self.securities = SecurityList(instruments, underlyings)
        self._on_internal, self._on_fatal = on_internal, on_fatal
        self._failed = False
        self._busy = False
        books = len(instruments)
        settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = settings.directory / "trades.log"
        self.log = TradeLog(path, instruments, seed=settings.seed, now_ns=time.time_ns())
        self.core = VenueCore(
            instruments, instrument_of, max_orders=settings.max_orders, max_ticks=settings.max_ticks,
            fees=settings.fees, run=self.log.run, first_generation=next_generation(self.log.recovered),
        )  # fmt: skip
        self.book_of_instrument = np.full(len(market_tops), -1, np.int64)
        self.book_of_instrument[instrument_of] = np.arange(books)
        self.symbols = SymbolTable(books)
        self.symbol_names = [bytes(row["symbol"]).rstrip(b"\0").decode("ascii") for row in instruments]
        self.price_scales = [int(row["price_scale"]) for row in instruments]
        self.underlyings = underlyings
        self._books: dict[str, int] = {}
        for book, row in enumerate(instruments):
            symbol = self.symbol_names[book]
            self._books[symbol] = book
            self.symbols.add(symbol, book, int(row["price_scale"]), int(row["multiplier"]))
        self.ring = BroadcastRing.create(
            settings.ring_path, settings.ring_slots, books=books, silence_ns=settings.ring_silence_ns
        )
        self.publisher = MarketDataPublisher(
            self.ring, self.core.arena, instrument_of, market_tops.rows, market_tops.words, source=source
        )
        if settings.aeron:
            self.publisher.open_stream(settings.aeron)
        self.tickets = Tickets()
        self.clients = self._open_clients()
        self.application = Application(self)
        self.copies = open_copies(settings, self.clients, self.symbols, books, self.on_failure)
        self.operations = Operations(self)
        self._subscriptions = tuple(client.subscription for client in self.clients)
        self._make_lines()
        self.acceptor: Acceptor | None = None

    def _open_clients(self) -> list[Client]:
        participants = Participants(self.log.path)
        clients = []
        for client in self.settings.clients:
            owner = participants.number_of(client.comp_id)
            clients.append(open_client(self.settings, client, owner, self.symbols, self.core.books, self))
            self.core.stp_of_owner[owner] = int(client.self_trade_prevention)
        self._client_of = {client.owner: client for client in clients}
        self._owners = max(participants.numbers.values(), default=FIRST_CLIENT) + 1 - FIRST_CLIENT
        return clients

    def _make_lines(self) -> None:
        latency, seed = self.settings.latency, self.settings.seed
        self._inbound = DelayLine(
            delay_ns=latency.order_delay_ns, jitter_ns=latency.jitter_ns, seed=(seed << 2) + _ORDERS_SEED
        )
        self._outbound = DelayLine(
            delay_ns=latency.report_delay_ns, jitter_ns=latency.jitter_ns, seed=(seed << 2) + _REPORTS_SEED
        )
        self._timer: DueTimer | None = None
        self._arriving = FrameBuffer(records.ORDER, _BATCH)
        self._due_orders = FrameBuffer(records.ORDER, _BATCH)
        self._flow_orders = FrameBuffer(records.ORDER, _BATCH)
        self._due_reports = FrameBuffer(records.EXECUTION, _BATCH)
        self._grouped = FrameBuffer(records.EXECUTION, _BATCH)
        self._due_refs = np.zeros(_BATCH, np.int64)
        self._grouped_refs = np.zeros(_BATCH, np.int64)
        self._no_refs = np.zeros(_BATCH, np.int64)
        self._starts = np.zeros(self._owners + 1, np.int64)
        self._answer = FrameBuffer(records.ORDER, 1)

    # ---------------------------------------------------------------- life

    async def start(self) -> None:
        """Compile what is not cached, settle what earlier runs left open, then listen."""
        self._warm_up()
        loop = asyncio.get_running_loop()
        self._timer = DueTimer(loop, self.pump)
        self._recover()
        sessions = [client.session for client in self.clients] + [copy.session for copy in self.copies]
        self.acceptor = Acceptor(sessions, self.settings.host, self.settings.port, on_drop=self._dropped)
        await self.acceptor.start()
        log.info(
            "venue is listening", venue=self.settings.name, port=self.port, run=self.log.run,
            instruments=self.core.books, clients=[client.settings.comp_id for client in self.clients],
        )  # fmt: skip

    def _warm_up(self) -> None:
        """Load or compile every kernel of the order path, by calls that do nothing.

        Otherwise the first client's first order would wait for a compiler.
        """
        orders, reports, now_ns = self._arriving, self._due_reports, time.monotonic_ns()
        claim_commands(orders.rows, 0, 0, FIRST_CLIENT)
        DelayLine(slots=2).push(orders.words, self._no_refs, 1, now_ns)
        self._inbound.pop(orders.words, self._due_refs, now_ns)
        route_commands(orders.rows, orders.words, 0, self.book_of_instrument, orders.words, orders.rows)
        self.core.apply(orders.rows, 0, 0, now_ns, now_ns)
        self.core.settle(0, 1)
        self.log.append(reports.frames, 0)
        grouped = self._grouped
        group_by_session(
            reports.rows, reports.words, self._due_refs, 0, self.core.books, self._starts, grouped.words,
            self._grouped_refs,
        )  # fmt: skip
        is_cold(grouped.rows, 0, self.core.books)
        self.publisher.warm_up(self.application.subscribers.out)
        self.publisher.publish(self.now_ns(), time.time_ns())
        for copy in self.copies:
            copy.warm_up(now_ns)
        for client in self.clients[:1]:
            hot = client.hot
            hot.decode(np.zeros(64, np.uint8), 0, 0, 1, now_ns)
            hot.decode_one(b"")
            hot.encode_executions(grouped.rows, 0, 0, 1, now_ns)
            hot.encode_quotes(self.application.subscribers.out.rows, 0, 0, 1, now_ns)

    @property
    def failed(self) -> bool:
        """Whether it has stopped for good: nothing may be asked of it any more."""
        return self._failed

    @property
    def port(self) -> int:
        """TCP port of the acceptor."""
        return self.acceptor.port if self.acceptor is not None else self.settings.port

    async def close(self) -> None:
        """Cancel clients' orders, close the market, deliver what is due, log out, release everything."""
        if not self._failed:
            for client in self.clients:
                self.command(client, OrderAction.MASS_CANCEL, request_id=0, instrument=NO_INSTRUMENT)
            self._flush()
            for book in range(self.core.books):
                set_status(self.core.arena, book, int(TradingStatus.CLOSED))
            self.publisher.publish(self.now_ns(), time.time_ns())
            self.application.reference.session_changed(SessionStatus.CLOSED)
        if self.acceptor is not None:
            await self.acceptor.close("venue closes")
        if not self._failed:
            self._flush()
            for copy in self.copies:
                copy.flush()
        if self._timer is not None:
            self._timer.close()
        for client in self.clients:
            client.store.close()
        for copy in self.copies:
            copy.close()
        self.publisher.end()
        self.log.close()

    def _recover(self) -> None:
        contents = self.log.recovered
        wall_ns, market_ns = time.time_ns(), self.now_ns()
        if contents.torn_bytes:
            log.warning("trade log had a torn tail", venue=self.settings.name, cut_bytes=contents.torn_bytes)
        for client in self.clients:
            self._store_unsent(client, contents)
        for copy in self.copies:
            copy.owe(contents)
        cancels = restart_cancels(contents, self.core.next_exec_id(), market_ns, wall_ns)
        if not len(cancels):
            return
        self.core.arena.words[_LAST_EXEC] += len(cancels)
        self.log.append(cancels, len(cancels))
        contents = read_log(self.log.path)
        for client in self.clients:
            self._store_unsent(client, contents)
        for copy in self.copies:
            copy.owe(contents)
        log.info("open orders of the last run canceled", venue=self.settings.name, orders=len(cancels))

    def _store_unsent(self, client: Client, contents: Any) -> None:
        frames, last = unsent_reports(contents, client.owner, client.store.last_app_ref)
        rows = records.as_layout(frames, records.EXECUTION)
        if not len(rows):
            return
        self._send(client, rows, 0, len(rows), last)
        name = client.settings.comp_id
        log.info("reports of the last run stored", venue=self.settings.name, client=name, reports=len(rows))

    # ---------------------------------------------------------------- the sessions' handler

    def on_frames(self, session: FixSession, frames: npt.NDArray[np.uint8], count: int) -> None:
        """Orders of one client, decoded: into the delay line, and on at once if nothing is to wait."""
        if self._failed:
            return
        rows = records.as_layout(frames, records.ORDER)
        claim_commands(rows, 0, count, session.index)
        now_ns = time.monotonic_ns()
        words = frames.reshape(-1).view(np.int64).reshape(len(frames), -1)
        self._inbound.push(words, self._refs(count), count, now_ns)
        self._pump_at(now_ns)

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Everything that is not hot."""
        if not self._failed:
            self.application.answer(self._client_of[session.index], msg_type, raw, poss_dup)

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        """Subscriptions end with the connection; orders do where the client wants it so."""
        client = self._client_of[session.index]
        logged_on = state is State.LOGGED_ON
        if logged_on != client.was_logged_on:
            log.info("client " + ("logged on" if logged_on else "left"), venue=self.settings.name,
                     client=client.settings.comp_id, reason=reason)  # fmt: skip
        if client.was_logged_on and not logged_on:
            client.subscription.clear()
            client.depth.clear()
            self.application.reference.forget(client)
            if client.cancels_on_disconnect and not self._failed:
                self.command(client, OrderAction.MASS_CANCEL, request_id=0, instrument=NO_INSTRUMENT)
        client.was_logged_on = logged_on

    def on_event(self, session: FixSession, event: SessionEvent) -> None:
        """Sequence resets lose what the client had not received: said aloud, the log still has it."""
        if isinstance(event, SequencesReset):
            name = self._client_of[session.index].settings.comp_id
            log.warning("sequence numbers reset", venue=self.settings.name, client=name, by_peer=event.by_peer)

    def _dropped(self, reason: str) -> None:
        log.warning("connection dropped", venue=self.settings.name, reason=reason)

    def on_failure(self, session: FixSession, error: BaseException) -> None:
        """A handler failed: the venue's state can no longer be trusted to match its log."""
        log.error("session failed", venue=self.settings.name, session=session.settings.name, exc_info=error)
        self._fatal(error)

    # ---------------------------------------------------------------- VenueDesk

    def book_of(self, symbol: str) -> int:
        """Book of a symbol, -1 if it is not listed here."""
        return self._books.get(symbol, -1)

    def symbol_of(self, book: int) -> str:
        """Symbol of a book."""
        return self.symbol_names[book]

    def books_of_underlying(self, symbol: str) -> list[int]:
        """Books whose instrument has this underlying."""
        return [book for book, underlying in enumerate(self.underlyings) if underlying == symbol]

    def price_scale(self, book: int) -> int:
        """Decimals of the prices of a book."""
        return self.price_scales[book]

    def submit(self, frames: FrameBuffer) -> None:
        """Queue commands that came by a cold message behind all that came before."""
        now_ns = time.monotonic_ns()
        self._inbound.push(frames.words, self._refs(len(frames)), len(frames), now_ns)
        self._pump_at(now_ns)

    def now_ns(self) -> int:
        """Market time."""
        return self.clock.now_ns()

    def next_exec_id(self) -> int:
        """An ExecID for a report that the books did not make."""
        return self.core.next_exec_id()

    def command(self, client: Client, action: OrderAction, *, request_id: int, instrument: int) -> None:
        """Queue a mass command behind all that came before. ``request_id`` 0: nobody asked, no answer."""
        self._answer.words[0] = 0
        row = self._answer.rows[0]
        row["kind"], row["action"], row["instrument"] = FrameKind.ORDER, action, instrument
        row["owner"], row["session"], row["cl_ord_id"] = client.owner, client.owner, request_id
        now_ns = time.monotonic_ns()
        self._inbound.push(self._answer.words, self._no_refs, 1, now_ns)
        self._pump_at(now_ns)

    def later(self, work: Iterator[None]) -> None:
        """Run ``work`` one piece per turn of the event loop."""

        def turn() -> None:
            try:
                if not self._failed and next(work, _END) is not _END:
                    loop.call_soon(turn)
            except Exception as error:  # noqa: BLE001 - a callback's outermost frame: what cannot be stored ends the venue
                self._fatal(error)

        loop = asyncio.get_running_loop()
        loop.call_soon(turn)

    # ---------------------------------------------------------------- the path of an order

    def pump(self) -> None:
        """Let go what is due in both delay lines."""
        self._pump_at(time.monotonic_ns())

    def _flush(self) -> None:
        """Let everything go now, without its delay: the venue closes."""
        self._pump_at(time.monotonic_ns(), int(NEVER_NS))

    def _pump_at(self, now_ns: int, due_by_ns: int = 0) -> None:
        """Let go what is due at ``now_ns``, or already what is due by the later ``due_by_ns``."""
        if self._busy or self._failed:
            return  # sending cut a client off, which queued a cancel: the loop below comes to it
        until_ns = max(now_ns, due_by_ns)
        with self.turn():
            while min(self._inbound.next_due_ns, self._outbound.next_due_ns) <= until_ns:
                if self._inbound.next_due_ns <= until_ns and len(self._inbound):
                    count = self._inbound.pop(self._due_orders.words, self._due_refs, until_ns)
                    self._execute(self._due_orders, count, now_ns)
                elif not self._deliver(until_ns):
                    break
        if self._timer is not None and not self._failed:
            self._timer.arm(min(self._inbound.next_due_ns, self._outbound.next_due_ns))

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One pass over the venue's buffers, never nested; whatever fails in it ends the venue.

        The outermost frame of a timer's callback and of a step. A report that could not be logged,
        encoded or stored would be missing for ever, whatever the reason, so none is passed over.
        """
        self._busy = True
        try:
            yield
        except OperatorError:
            raise  # somebody asked for what cannot be; nothing was changed
        except Exception as error:  # noqa: BLE001 - see above: it stops the venue first
            self._fatal(error)
        finally:
            self._busy = False

    def apply_flow(self, orders: FrameBuffer, count: int) -> None:
        """Carry out one step's commands of the order flow (rows of the whole market) that concern this venue."""
        if self._failed:
            return
        if len(self._flow_orders) < count:
            self._flow_orders = FrameBuffer(records.ORDER, 2 * count)
        mine = route_commands(
            orders.rows, orders.words, count, self.book_of_instrument,
            self._flow_orders.words, self._flow_orders.rows,
        )  # fmt: skip
        now_ns = time.monotonic_ns()
        with self.turn():
            self._execute(self._flow_orders, int(mine), now_ns)
        self._pump_at(now_ns)

    def _execute(self, orders: FrameBuffer, count: int, now_ns: int) -> None:
        market_ns, wall_ns, at = self.now_ns(), time.time_ns(), 0
        while at < count:
            at, reports, stop, ended = self.core.apply(orders.rows, at, count, market_ns, wall_ns)
            self._settle(reports, market_ns, wall_ns, now_ns)
            if stop == BatchStop.MASS_CANCEL:
                self._answer_mass_cancel(orders, at - 1, ended, now_ns)
            elif stop == BatchStop.TICKET:
                self._settle_ticket(orders, at - 1, now_ns)

    def _settle(self, reports: int, market_ns: int, wall_ns: int, now_ns: int) -> None:
        core = self.core
        batch = core.settle(reports, self.log.count + 1)
        if batch.logged:
            position = self.log.append(core.logged.frames, batch.logged)
            for copy in self.copies:
                copy.take(core.logged, batch.logged, position)  # sent in the loop's next turn
        if batch.outbox:
            self._outbound.push(core.outbox.words, core.outbox_refs, batch.outbox, now_ns)
        self.publisher.publish(market_ns, wall_ns, core.prints, batch.prints, self._subscriptions)
        self.application.subscribers.take_prints(core.prints, batch.prints)
        if batch.internal:
            self._on_internal(core.internal.rows, batch.internal)

    def _settle_ticket(self, orders: FrameBuffer, at: int, now_ns: int) -> None:
        """Tell a request what became of its command; its answer, if it is complete, goes behind the reports."""
        row = orders.words[at : at + 1].view(records.QUOTE_ENTRY)[0, 0]
        if self.tickets.settle(row):
            self._answer.words[0] = orders.words[at]
            self._answer.rows[0]["slot"] = int(row["ticket"])
            self._outbound.push(self._answer.words, self._no_refs, 1, now_ns)

    def _answer_mass_cancel(self, orders: FrameBuffer, row: int, ended: int, now_ns: int) -> None:
        """Queue the answer behind the reports of the orders it ended; ``slot`` carries their number."""
        if orders.rows[row]["cl_ord_id"] == 0:
            return
        self._answer.words[0] = orders.words[row]
        self._answer.rows[0]["slot"] = ended
        self._outbound.push(self._answer.words, self._no_refs, 1, now_ns)

    def _deliver(self, until_ns: int) -> bool:
        """Send the reports that are due, one write per client; whether there were any."""
        count = self._outbound.pop(self._due_reports.words, self._due_refs, until_ns)
        if not count:
            return False
        cold = group_by_session(
            self._due_reports.rows, self._due_reports.words, self._due_refs, count, self.core.books,
            self._starts, self._grouped.words, self._grouped_refs,
        )  # fmt: skip
        for number in range(self._owners):
            first, end = int(self._starts[number]), int(self._starts[number + 1])
            client = self._client_of.get(number + FIRST_CLIENT)
            if first == end or client is None:
                continue
            if cold:
                self._send_mixed(client, first, end)
            else:
                self._send(client, self._grouped.rows, first, end - first, int(self._grouped_refs[first:end].max()))
        return True

    def _send_mixed(self, client: Client, first: int, end: int) -> None:
        """Send rows of which some need the cold encoder, keeping their order."""
        rows, refs = self._grouped.rows, self._grouped_refs
        at = first
        while at < end:
            if is_cold(rows, at, self.core.books):
                self._send_cold(client, rows, at, int(refs[at]))
                at += 1
                continue
            run = at
            while run < end and not is_cold(rows, run, self.core.books):
                run += 1
            self._send(client, rows, at, run - at, int(refs[at:run].max()))
            at = run

    def _send(self, client: Client, rows: Any, first: int, count: int, position: int) -> None:
        client.session.send_executions(rows, count, first=first, app_ref=position)

    def _send_cold(self, client: Client, rows: Any, at: int, position: int) -> None:
        if rows[at]["kind"] != FrameKind.ORDER:
            client.session.send("8", unknown_symbol_report(rows[at], int(rows[at]["ts_ns"])), app_ref=position)
            return
        row = self._grouped.words[at : at + 1].view(records.ORDER)[0, 0]
        if row["action"] != OrderAction.MASS_CANCEL:
            answer = self.tickets.take_answer(int(row["slot"]))
            if answer is not None:
                client.session.send(*answer)
            return
        whole = int(row["instrument"]) == NO_INSTRUMENT and int(row["reason"]) == 0
        body = mass_cancel_report(
            int(row["cl_ord_id"]), self.next_exec_id(), whole, int(row["reason"]) != 0, int(row["slot"])
        )
        client.session.send("r", body)

    def record(self, rows: FrameBuffer) -> None:
        """Log EXECUTION rows that no command caused, then copy and send them. Inside :meth:`turn`."""
        position = self.log.append(rows.frames, len(rows))
        for copy in self.copies:
            copy.take(rows, len(rows), position)
        now_ns = time.monotonic_ns()
        for place in range(len(rows)):  # participants without FIX have no memory of single trades
            if int(rows.rows[place]["session"]) >= FIRST_CLIENT:
                refs = np.array([position + place], np.int64)
                self._outbound.push(rows.words[place : place + 1], refs, 1, now_ns)

    # ---------------------------------------------------------------- market data and time

    def step(self, market_ns: int, wall_ns: int) -> None:
        """Every few milliseconds: heartbeat, repetition of quiet books, subscribers."""
        if self._failed:
            return
        self.publisher.beat(market_ns, wall_ns)
        self.publisher.refresh(market_ns, wall_ns)
        self.serve_subscribers()

    def publish_books(self) -> None:
        """Publish what changed in the books without a command."""
        self.publisher.publish(self.now_ns(), time.time_ns(), subscriptions=self._subscriptions)
        self.application.subscribers.serve()

    def serve_subscribers(self) -> None:
        """Send FIX subscribers what changed."""
        try:
            self.application.subscribers.serve()
        except StoreError as error:
            self._fatal(error)

    def _refs(self, count: int) -> npt.NDArray[np.int64]:
        if len(self._no_refs) < count:
            self._no_refs = np.zeros(2 * count, np.int64)
        return self._no_refs

    def _fatal(self, error: BaseException) -> None:
        if self._failed:
            return
        self._failed = True
        expected = isinstance(error, (SimulatorError, FixError))
        log.error("venue stops", venue=self.settings.name, error=str(error), exc_info=None if expected else error)
        for client in self.clients:
            client.session.abort("venue failed")
        for copy in self.copies:
            copy.session.abort("venue failed")
        self._on_fatal(error)
