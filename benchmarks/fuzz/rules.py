"""The rules that every input of ``fix_fuzz.py`` is held to, whichever engine makes it.

* no exception leaves ``frame``, ``parse`` (but GarbledMessageError), ``Validator.check`` or the machine;
* framing goes forward, and a message that ``parse`` takes has the length and sum that it says;
* passwords and raw data are not in what people are shown of a message;
* what the validator's quick look takes, its close look takes too;
* messages reach the application in the order of their numbers, each once, and no number is passed over
  that was neither received nor filled by the peer;
* what the machine answers is sound FIX, numbered without a hole, one number once;
* nothing happens before the time that the machine names as the earliest;
* what a fast path (the plain reader; the kernels, for sessions without a dictionary) takes by itself,
  the machine takes too, as the same message.
"""

from collections import Counter

import numpy as np

from fix.codec import HotLink, SymbolTable, decode, decode_one
from fix.codec import Role as CodecRole
from fix.codec.decode import decode_heartbeat
from fix.dictionary import Validator
from fix.endpoints.steady import SteadyReader, readable_by
from fix.errors import GarbledMessageError
from fix.messages import SECRET_TAGS, Message, frame, parse
from fix.session import AppMessage, Disconnect, Role, SequencesReset, SessionMachine, SessionSettings, State
from fix.session.events import SessionEvent
from fix.store import Store
from market import records

#: No message is waited for beyond this, whatever BodyLength says.
MOST_HELD_BYTES = 1 << 21
_SLACK_BYTES = 64  # kernels load eight bytes at a time
_FRAMES = 64
#: Symbols that the corpus of messages has: "1" is what every text field says there.
_SYMBOLS = ("1", "GOOG")


class RuleBrokenError(Exception):
    """An input broke one of the rules above."""


def _inside(value: bytes) -> str:
    """``value`` as it stands in the text that people are shown."""
    return repr(value.replace(b"\x01", b"|"))[2:-1]


class Reading:
    """Bytes to messages, and what the validator says of them: all that lies before a session.

    Parameters
    ----------
    validator, appl_ver_id:
        Of the version; None: what a message is made of is not looked at.
    counts:
        Told of each message.
    """

    def __init__(self, validator: Validator | None, appl_ver_id: str, counts: Counter[str]) -> None:
        self._validator = validator
        self._appl_ver_id = appl_ver_id
        self._counts = counts
        self._buffer = b""

    def clear(self) -> None:
        """A fresh connection."""
        self._buffer = b""

    def arrived(self, raw: bytes) -> None:
        """More bytes are there."""
        self._buffer += raw

    def next(self) -> bytes:
        """The next whole message; empty: none is there yet."""
        size = len(self._buffer)
        begin, stop = frame(self._buffer, 0, size)
        if not 0 <= begin <= stop <= size:
            raise RuleBrokenError(f"frame answered {begin}..{stop} of {size} bytes: {self._buffer!r}")
        raw, self._buffer = self._buffer[begin:stop], self._buffer[stop:]
        if not raw and len(self._buffer) > MOST_HELD_BYTES:
            raise RuleBrokenError(f"{len(self._buffer)} bytes are held for one message")
        return raw

    def check(self, raw: bytes) -> Message | None:
        """What ``parse`` and the validator say of one message; None: garbled."""
        try:
            message = parse(raw)
        except GarbledMessageError:
            self._counts["garbled"] += 1
            return None
        length, body = message.fields[1][1], raw.index(b"\x01", raw.index(b"\x01") + 1) + 1
        if int(length) != len(raw) - 7 - body or int(raw[-4:-1]) != sum(raw[:-7]) % 256:
            raise RuleBrokenError(f"parse took a message of another length or sum: {raw!r}")
        if not SECRET_TAGS.isdisjoint(message.first):
            shown = repr(message)
            for tag, secret in message.fields:
                if tag in SECRET_TAGS and len(secret) > 3 and f"{tag}={_inside(secret)}" in shown:
                    raise RuleBrokenError(f"tag {tag} is shown in {shown}")
        validator = self._validator
        if validator is not None:
            refusal = validator.check(message, self._appl_ver_id)
            version = "" if validator.application is None else message.text(1128, self._appl_ver_id)
            plan = validator._plans.get((message.fields[2][1], version))
            if refusal is None and plan is not None and validator._judge(message, plan) is not None:
                raise RuleBrokenError(f"the validator's quick look takes what its close look refuses: {raw!r}")
            self._counts["refused" if refusal else "sound"] += 1
        return message


class Kernels:
    """The compiled fast path of one session, asked beside the machine."""

    table = SymbolTable(16)
    for _k, _name in enumerate(_SYMBOLS):
        table.add(_name, _k, 2)
    _out = records.frames(_FRAMES)
    _again = records.frames(_FRAMES)

    def __init__(self, settings: SessionSettings) -> None:
        role = CodecRole.VENUE if settings.role is Role.ACCEPTOR else CodecRole.CLIENT
        self.link = HotLink(settings.begin_string, settings.sender_comp_id, settings.target_comp_id, role=role)

    def take(self, raw: bytes, next_in: int, now_ns: int) -> str:
        """What they would have done with ``raw`` by themselves: "message", "heartbeat" or nothing."""
        link, symbols, size = self.link.state, self.table.state, len(raw)
        buffer = np.zeros(size + _SLACK_BYTES, np.uint8)
        buffer[:size] = np.frombuffer(raw, np.uint8)
        if decode_heartbeat(link, buffer, 0, size, next_in, now_ns) == size:
            return "heartbeat"
        consumed, frames, messages, _ = decode(link, symbols, buffer, 0, size, next_in, now_ns, self._out)
        if not messages:
            return ""
        if messages != 1 or consumed != size or not 0 < frames <= _FRAMES:
            raise RuleBrokenError(f"decode took {messages} messages, {consumed} of {size} bytes of one message {raw!r}")
        again = decode_one(link, symbols, buffer[:size], 0, size, now_ns, self._again, 0)
        if again != frames or (self._out[:frames] != self._again[:frames]).any():
            raise RuleBrokenError(f"decode_one gives {again} frames, decode {frames}, or other ones, of {raw!r}")
        return "message"


class Watched:
    """One session that is told nonsense, and the rules it must keep.

    Parameters
    ----------
    settings, store, validator:
        Of the session. The rules about fast paths hold for what a session of these settings would use.
    now_ns:
        The time at which it begins; whoever plays moves it by :meth:`tick`.
    """

    def __init__(self, settings: SessionSettings, store: Store, validator: Validator | None, now_ns: int) -> None:
        self.settings = settings
        self.machine = SessionMachine(settings, store, validator)
        self.now_ns = now_ns
        self.counts: Counter[str] = Counter()
        self._reader = SteadyReader(settings, validator) if readable_by(validator) else None
        kernels = validator is None and settings.begin_string == "FIX.4.4"
        self._kernels = Kernels(settings) if kernels else None
        self._reading = Reading(validator, settings.default_appl_ver_id, self.counts)
        self._delivered = 0  # the newest message that the application has
        self._next_out = 1  # of the answer that comes next
        self._accounted = self.machine.next_in  # every number before it was received or filled
        self._seen: set[int] = set()
        self._filled: list[tuple[int, int]] = []
        self._reset_open = False  # we have asked for a reset inside the session

    # ----------------------------------------------------------- what happens

    def connect(self) -> None:
        """A fresh connection."""
        self.counts["connections"] += 1
        self._reading.clear()
        self._next_out = self.machine.next_out
        if self._reader is not None:
            self._reader.forget()
        self._events(self.machine.connected(self.now_ns), b"(connected)")

    def disconnect(self) -> None:
        """The line is lost; what was not taken is asked for again."""
        machine = self.machine
        machine.snapshot()
        reset = any(isinstance(event, SequencesReset) for event in machine.disconnected(self.now_ns))
        if machine.next_in != machine.store.next_in or (reset and machine.next_in != 1):
            raise RuleBrokenError(f"next_in is {machine.next_in} without a connection, {machine.store.next_in} stored")
        self._delivered = 0 if reset else min(self._delivered, machine.next_in - 1)
        self._accounted = machine.next_in
        self._seen.clear()
        self._filled.clear()
        self._reset_open = False

    def feed(self, raw: bytes) -> None:
        """Bytes arrive."""
        self._reading.arrived(raw)
        while self.machine.state is not State.DISCONNECTED:
            message = self._reading.next()
            if not message:
                return
            self.receive(message)

    def receive(self, raw: bytes) -> None:
        """One framed message."""
        machine = self.machine
        message = self._reading.check(raw)
        seq = None if message is None else message.seq
        if message is not None and seq is not None:
            self._note(message, seq)
        live, steady, expected = machine.logged_on, machine.steady, machine.next_in
        taken = self._taken_fast(raw) if steady else ""
        events = machine.receive(raw, self.now_ns)
        if taken:
            self._compare(taken, raw, expected, events)
        fresh = len(events) == 1 and isinstance(events[0], AppMessage) and not events[0].poss_dup
        if self._reader is not None and live and fresh:
            self._reader.accepted(raw)
        self._events(events, raw, seq)

    def drain(self) -> None:
        """The application has taken what was returned: go on with held messages."""
        while self.machine.draining:
            self._events(self.machine.drain(self.now_ns), b"(drain)")

    def tick(self, seconds: float) -> None:
        """Time passes."""
        machine = self.machine
        due_ns = machine.next_due_ns
        self.now_ns += int(seconds * 1e9)
        events = machine.tick(self.now_ns)
        out = machine.take_output()
        if (events or out) and self.now_ns < due_ns and machine.state is not State.DISCONNECTED:
            raise RuleBrokenError(f"{events} {out!r} came {due_ns - self.now_ns} ns before anything was due")
        self._events(events, b"(time)", out=out)

    def say(self) -> None:
        """Our application sends a report, which is sent again when the peer asks for it."""
        if self.machine.logged_on:
            self.machine.send("8", [(37, "1"), (17, str(self.machine.next_out)), (58, "said")], self.now_ns)
            self._events([], b"(said)")

    def log_out(self) -> None:
        """We say Logout."""
        self._events(self.machine.begin_logout("enough", self.now_ns), b"(logout)")

    def start_over(self) -> None:
        """We ask for a reset of the numbers inside the session, or reset them without a connection."""
        machine = self.machine
        if machine.state in (State.LOGGED_ON, State.DISCONNECTED):
            inside = machine.logged_on and machine.rules.reset_flag
            events = machine.reset_sequences(self.now_ns)
            if inside:
                self._reset_open = self._reset_open or bool(events)
                events = [event for event in events if not isinstance(event, SequencesReset)]
                self._events(events, b"(reset)", restarts=1)
            else:
                self._events(events, b"(reset)")

    # ---------------------------------------------------------------- checking

    def _taken_fast(self, raw: bytes) -> str:
        next_in = self.machine.next_in
        if self._kernels is not None:
            taken = self._kernels.take(raw, next_in, self.now_ns)
            if taken:
                self.counts["by kernels"] += 1
                return taken
        if self._reader is not None:
            found = self._reader.take(bytearray(raw), 0, len(raw), next_in, self.now_ns)
            if found is not None:
                self.counts["by reader"] += 1
                if found.raw != raw or found.stop != len(raw):
                    raise RuleBrokenError(f"the reader took {found.raw!r} of {raw!r}")
                return "message"
        return ""

    def _compare(self, taken: str, raw: bytes, expected: int, events: list[SessionEvent]) -> None:
        """The machine has done what a fast path would have done in its place."""
        if taken == "heartbeat":
            same = not events
        else:
            same = events == [AppMessage(parse(raw).msg_type, raw, expected, poss_dup=False)]
        if not same or self.machine.next_in != expected + 1 or not self.machine.steady:
            raise RuleBrokenError(f"a fast path takes {raw!r} as a {taken}, the machine says {events}")

    def _note(self, message: Message, seq: int) -> None:
        """Remember which numbers the peer has used or given up."""
        if seq >= self._accounted:
            self._seen.add(seq)
        if message.msg_type == "4":
            new_seq = message.integer(36) or 0
            begin = seq if message.flag(123) else 0  # a reset moves from wherever we are
            if new_seq > self._accounted:
                self._filled.append((begin, new_seq))

    def _events(
        self, events: list[SessionEvent], raw: bytes, seq: int | None = None, *, out: bytes = b"", restarts: int = 0
    ) -> None:
        machine = self.machine
        closing = False
        for event in events:
            if isinstance(event, SequencesReset):
                self._begin_again(seq)
                restarts += 1
            elif isinstance(event, AppMessage):
                self._deliver(event, raw)
            elif isinstance(event, Disconnect):
                closing = True
        self._account(raw, seq)
        machine.commit()
        self._answers(out + machine.take_output(), raw, restarts)
        if closing:
            self.disconnect()

    def _begin_again(self, seq: int | None) -> None:
        self._delivered, self._accounted = 0, 1
        self._seen = set() if seq is None else {seq}
        self._filled.clear()

    def _deliver(self, event: AppMessage, raw: bytes) -> None:
        self.counts["delivered"] += 1
        if event.seq <= self._delivered or event.seq >= self.machine.next_in:
            raise RuleBrokenError(
                f"message {event.seq} after {self._delivered}, next_in {self.machine.next_in}; last input {raw!r}"
            )
        if parse(event.raw).seq != event.seq:
            raise RuleBrokenError(f"message {event.seq} is delivered as {event.raw!r}")
        self._delivered = event.seq

    def _account(self, raw: bytes, seq: int | None) -> None:
        """Every number that the machine has passed was received or filled."""
        next_in = self.machine.next_in
        if next_in < self._accounted:
            if not self._reset_open or seq != 1:
                raise RuleBrokenError(f"next_in fell from {self._accounted} to {next_in}; last input {raw!r}")
            self._reset_open = False
            self._begin_again(seq)
        while self._accounted < next_in:
            at = self._accounted
            if at in self._seen:
                self._seen.discard(at)
                self._accounted += 1
                continue
            end = max((end for begin, end in self._filled if begin <= at < end), default=0)
            if not end:
                raise RuleBrokenError(f"number {at} is passed over: next_in is {next_in}; last input {raw!r}")
            self._accounted = min(end, next_in)
        if len(self._filled) > 64 or len(self._seen) > 1 << 14:
            self._filled = [(begin, end) for begin, end in self._filled if end > next_in]
            self._seen = {number for number in self._seen if number >= next_in}

    def _answers(self, out: bytes, raw: bytes, restarts: int) -> None:
        """What goes out is sound and numbered as the store has it."""
        position = 0
        next_out = self.machine.next_out
        while position < len(out):
            begin, stop = frame(out, position, len(out))
            if begin != position or stop == begin:
                raise RuleBrokenError(f"the answer is not FIX: {out[position:]!r}; input {raw!r}")
            answer = parse(out[begin:stop])
            seq = answer.seq or 0
            if answer.flag(43):
                sound = 0 < seq < next_out and (answer.integer(36) or 0) <= next_out
            elif restarts and seq in (1, 2) and seq != self._next_out:
                sound, restarts, self._next_out = True, restarts - 1, seq + 1
            else:
                sound = seq == self._next_out
                self._next_out += 1
            if not sound:
                raise RuleBrokenError(
                    f"answer {answer.raw!r}: its number is not {self._next_out - 1}, the store is at {next_out}; "
                    f"input {raw!r}"
                )
            self.counts["answers"] += 1
            position = stop
        if restarts:  # nothing has been said since the numbers were reset
            self._next_out = next_out
