"""An input of the guided engine: bytes that are a whole story of one session, and how it is played.

Three bytes of options, then acts divided by 0x1E, each a letter and what belongs to it:

``R`` bytes arrive as they stand · ``M`` with BodyLength and CheckSum made right · ``N`` with MsgSeqNum and
SendingTime made right too · ``T`` as many seconds pass as the next byte says · ``S`` our application sends ·
``O`` we say Logout · ``Z`` we reset the numbers · ``D`` the line is lost. Anything else arrives as it stands.

In the part ``bytes`` there is no session: the first byte of an input names the version, the rest is framed, parsed
and validated twice, as it stands and made well-formed. Such inputs cost a tenth.

A story depends on nothing but its bytes, so that a file of one is a whole report of a fault.
"""

import random
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from benchmarks.fuzz.messages import APPL_VER_ID, Mutator, mend
from benchmarks.fuzz.rules import Reading, Watched
from fix.dictionary import Validation, validator_for
from fix.errors import SettingsError
from fix.messages import SOH, Field, build, utc_timestamp
from fix.session import Role, SessionSettings, State
from fix.store import MemoryStore

START_NS = 1_450_967_400_000_000_000
USER, PASSWORD = "fuzz", "open sesame"
#: The part that is FIX.4.4 without a dictionary, beside the kernels that such sessions use.
KERNELS = "kernels"
#: The part without a session.
BYTES = "bytes"
VERSIONS = ("FIX.4.0", "FIX.4.1", "FIX.4.2", "FIX.4.3", "FIX.4.4", "FIXT.1.1")
PARTS = (*VERSIONS, KERNELS, BYTES)
DIVIDER = b"\x1e"
MOST_BYTES = 4096
_MOST_ACTS = 48
_MOST_CONNECTIONS = 6
_INITIATOR, _CHUNKS, _EXPECTED, _PROCESSED, _RESETS, _CLOSED, _REDUNDANT, _STRANGER = (1 << bit for bit in range(8))
_STRICT, _CREDENTIALS, _RESET_LOGOUT, _RESET_DOWN, _REFRESH, _SLOW = (1 << bit for bit in range(6))  # of the third
_LATE_DRAIN = 0x80  # of the second byte; the rest is the size of the pieces that bytes come in, 0: whole
_OPTIONS = (0, _INITIATOR, _CHUNKS, _EXPECTED | _CLOSED, _PROCESSED, _RESETS, _REDUNDANT, _STRANGER, _INITIATOR | 30)


def version_of(part: str) -> str:
    """BeginString of a part."""
    return part if part in VERSIONS else "FIX.4.4"


def play(data: bytes, part: str) -> Counter[str]:
    """Play one input of ``part``; RuleBrokenError, or any other exception, is a finding."""
    return read(data) if part == BYTES else Story(data, part).play()


def read(data: bytes) -> Counter[str]:
    """An input of the part without a session."""
    version = VERSIONS[data[0] % len(VERSIONS)] if data else VERSIONS[0]
    appl_ver_id = APPL_VER_ID if version == "FIXT.1.1" else ""
    counts: Counter[str] = Counter()
    reading = Reading(validator_for(version, appl_ver_id), appl_ver_id, counts)
    for raw in (data[1:], mend(data[1:])):
        reading.arrived(raw)
        message = reading.next()
        while message:
            reading.check(message)
            message = reading.next()
    return counts


@lru_cache(maxsize=1024)
def _settings(version: str, bits: int, more: int) -> SessionSettings:
    values = {
        "sender_comp_id": "AXIOM", "target_comp_id": "PEER", "begin_string": version, "stale_types": ("D",),
        "role": Role.INITIATOR if bits & _INITIATOR else Role.ACCEPTOR, "heartbeat_interval_s": 30, "resend_chunk": 2,
        "default_appl_ver_id": APPL_VER_ID if version == "FIXT.1.1" else "", "max_held_messages": 16,
        "resend_chunk_size": 3 if bits & _CHUNKS else 0, "closed_resend_interval": bool(bits & _CLOSED),
        "send_redundant_resend_requests": bool(bits & _REDUNDANT), "reset_on_logout": bool(more & _RESET_LOGOUT),
        "reset_on_disconnect": bool(more & _RESET_DOWN), "refresh_on_logon": bool(more & _REFRESH),
        "heartbeat_min_s": 10 if more & _SLOW else 0, "username": USER if more & _CREDENTIALS else "",
        "password": PASSWORD if more & _CREDENTIALS else "",
    }  # fmt: skip
    for flag, name in (
        (_EXPECTED, "next_expected_msg_seq_num"),
        (_PROCESSED, "last_msg_seq_num_processed"),
        (_RESETS, "reset_on_logon"),
    ):
        if bits & flag:
            try:
                SessionSettings(**(values | {name: True}))
            except SettingsError:  # the version does not have it
                continue
            values[name] = True
    return SessionSettings(**values)


class Story:
    """Plays one input; RuleBrokenError, or any other exception, is a finding."""

    def __init__(self, data: bytes, part: str) -> None:
        version = version_of(part)
        self._acts = data[3 : 3 + MOST_BYTES].split(DIVIDER)[:_MOST_ACTS]
        self._bits = data[0] if data else 0
        self._shape = data[1] if len(data) > 1 else 0
        self._more = data[2] if len(data) > 2 else 0
        settings = _settings(version, self._bits, self._more)
        validation = Validation(strict=bool(self._more & _STRICT))
        validator = None if part == KERNELS else validator_for(version, settings.default_appl_ver_id, validation)
        self.watched = Watched(settings, MemoryStore(clock=lambda: START_NS), validator, START_NS)

    def play(self) -> Counter[str]:
        """From the first connection to the last; what happened."""
        watched = self.watched
        for act in self._acts:
            if watched.machine.state is State.DISCONNECTED:
                if watched.counts["connections"] >= _MOST_CONNECTIONS:
                    break
                watched.connect()
                if not self._bits & _STRANGER:
                    self._log_on()
            self._act(act[:1], act[1:])
        watched.drain()
        watched.disconnect()
        return watched.counts

    def _log_on(self) -> None:
        machine, now_ns = self.watched.machine, self.watched.now_ns
        body: list[Field] = [(98, 0), (108, 30)]
        if machine.settings.reset_on_logon and machine.rules.reset_flag:
            body.append((141, "Y"))
        if self._more & _CREDENTIALS:
            body += [(553, USER), (554, PASSWORD)]
        if machine.settings.is_fixt:
            body.append((1137, APPL_VER_ID))
        seq = 1 if machine.settings.reset_on_logon else machine.next_in
        begin_string = machine.settings.begin_string
        self.watched.feed(build(begin_string, "A", seq, "PEER", "AXIOM", utc_timestamp(now_ns), body))

    def _act(self, letter: bytes, rest: bytes) -> None:
        watched = self.watched
        if letter == b"T":
            watched.tick(rest[0] if rest else 1)
        elif letter == b"S":
            watched.say()
        elif letter == b"O":
            watched.log_out()
        elif letter == b"Z":
            watched.start_over()
        elif letter == b"D":
            watched.disconnect()
        elif letter == b"M":
            self._feed(mend(rest))
        elif letter == b"N":
            self._feed(mend(_numbered(rest, watched.machine.next_in, watched.now_ns)))
        else:
            self._feed(rest if letter == b"R" else letter + rest)
        if not self._shape & _LATE_DRAIN:
            watched.drain()

    def _feed(self, raw: bytes) -> None:
        size = self._shape & 0x7F or len(raw)
        for at in range(0, len(raw), max(size, 1 + len(raw) // 64)):
            self.watched.feed(raw[at : at + max(size, 1 + len(raw) // 64)])


_NUMBER, _TIME = re.compile(rb"\x0134=[^\x01]*"), re.compile(rb"\x0152=[^\x01]*")


def _numbered(raw: bytes, seq: int, now_ns: int) -> bytes:
    raw = _NUMBER.sub(b"\x0134=%d" % seq, raw, count=1)
    return _TIME.sub(b"\x0152=" + utc_timestamp(now_ns), raw, count=1)


class Author:
    """Writes stories: the first ones, and new ones out of old ones.

    Parameters
    ----------
    part:
        One of ``PARTS``.
    """

    def __init__(self, part: str, seed: int) -> None:
        self._part = part
        self._rng = random.Random(seed)
        versions = VERSIONS if part == BYTES else (version_of(part),)
        self._mutators = [Mutator(self._rng, version) for version in versions]
        self._mutator = self._mutators[0]

    def seeds(self) -> list[bytes]:
        """One story of each message type, and the courses that sessions take: gaps, resends, resets, silence."""
        if self._part == BYTES:
            return [
                bytes((number,)) + mutator.message(msg_type, 1, START_NS)
                for number, mutator in enumerate(self._mutators)
                for msg_type in mutator.corpus.bodies
            ]
        stories = [
            self._story(0, self._said(msg_type, 2), self._said("0", 3)) for msg_type in self._mutator.corpus.bodies
        ]
        more = self._said("A", 1, [(141, "Y")])
        order, report = self._said("D", 2), self._said("8", 2)
        courses = (
            (b"S", b"S", b"S", self._said("2", 2), b"S", self._said("2", 3)),
            (b"M" + self._said("D", 4)[1:], b"M" + self._said("1", 5)[1:], self._said("4", 2), b"T\x0b", b"T\x0b"),
            (b"M" + self._said("0", 9)[1:], self._said("D", 2), self._said("D", 3), b"D", self._said("D", 4)),
            (b"T\x1f", b"T\x05", b"T\x1f", b"T\x28"),
            (b"S", b"Z", self._said("D", 2), b"M" + more[1:], self._said("D", 2), self._said("2", 3)),
            (b"O", self._said("5", 2), self._said("D", 2)),
            (self._said("5", 2), self._said("D", 3), b"Z", self._said("D", 2)),
            (b"N" + more[1:], b"M" + more[1:], self._said("D", 2)),
            (order, order, order, order[:-8] + b"\x0158=x\x0110=000\x01", report, report, b"M" + order[1:], report),
        )
        stories += [self._story(bits, *acts) for bits in _OPTIONS for acts in courses]
        stories += [self._story(0, *acts, more=1 << bit) for bit in range(6) for acts in courses[::3]]
        return stories + self._first_words()

    def _first_words(self) -> list[bytes]:
        """Logons that are refused, or ask for something, of a peer that has not said who it is."""
        additions: tuple[list[Field], ...] = (
            [], [(98, 1)], [(108, 99_999)], [(108, 2)], [(789, 999)], [(789, 1)], [(141, "Y")],
            [(553, USER), (554, "no")],
            [(553, USER), (554, PASSWORD)], [(95, 6), (96, b"a\x01554=")], [(383, 10), (1137, "7")],
        )  # fmt: skip
        return [
            self._story(
                _STRANGER | bits, b"M" + self._said("A", seq, extra)[1:], more=_CREDENTIALS * (553 in dict(extra))
            )
            for extra in additions
            for seq in (1, 5)
            for bits in (0, _INITIATOR, _EXPECTED)
        ]

    def _story(self, bits: int, *acts: bytes, more: int = 0) -> bytes:
        return bytes((bits, 0, more)) + DIVIDER.join(acts)

    def _said(self, msg_type: str, seq: int, extra: list[Field] | None = None) -> bytes:
        msg_type = msg_type if msg_type in self._mutator.corpus.bodies else "0"
        return b"N" + self._mutator.message(msg_type, seq, START_NS, extra).replace(DIVIDER, b"?")

    def vary(self, data: bytes, most: int, seed: int, byte_by_byte: Callable[[bytes, int], bytes]) -> bytes:
        """Another story of at most ``most`` bytes; now and then the bytes are changed by ``byte_by_byte`` instead."""
        rng = self._rng
        rng.seed(seed)
        if len(data) < 4 or rng.random() < 0.3:
            return byte_by_byte(data, most)
        if self._part == BYTES:
            mutator = self._mutators[data[0] % len(self._mutators)]
            harmed = mutator.harm(data[1:]) if rng.random() < 0.8 else mutator.message(mutator.any_type(), 1, START_NS)
            return (data[:1] + harmed)[:most]
        acts = data[3:].split(DIVIDER)
        for _ in range(rng.choice((1, 1, 2, 3))):
            at = rng.randrange(len(acts))
            roll = rng.random()
            if roll < 0.35:
                acts[at] = acts[at][:1] + self._harmed(acts[at][1:])
            elif roll < 0.6:
                acts.insert(at + 1, self._new_act())
            elif roll < 0.7 and len(acts) > 1:
                del acts[at]
            elif roll < 0.8:
                acts.insert(at, rng.choice(acts))
            elif roll < 0.9:
                acts[at] = rng.choice((b"N", b"M", b"R")) + acts[at][1:]
            else:
                bits, more = (rng.choice((0, 1 << rng.randrange(8), rng.randrange(256))) for _ in range(2))
                data = bytes((bits, rng.choice((0, 0, 7, 128)), more))
        return (data[:3] + DIVIDER.join(acts))[:most]

    def _harmed(self, raw: bytes) -> bytes:
        return self._mutator.harm(raw) if SOH in raw else raw + bytes([self._rng.randrange(256)])

    def _new_act(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.4:
            return rng.choice((b"S", b"T\x01", b"T\x0b", b"T\x1f", b"O", b"Z", b"D"))
        seq = rng.choice((1, 2, 3, 4, 5, 9, 50))
        return rng.choice((b"N", b"N", b"M")) + self._said(self._mutator.any_type(), seq)[1:]
