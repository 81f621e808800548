"""Situations at random, for both engines: messages with faults of every kind, faults in the bytes, sessions that end.

Four kinds of conversation, each made from a seed and the version's dictionary, so that a failure can be played again:

``fields``    messages of all types with random fields, groups and routing, and none to three faults in each
``bytes``     sound messages, damaged between the letters: what is garbled, and where the next message begins
``sessions``  numbers, gaps, fills, resets and resends in one long session
``endings``   short sessions: a Logon in some form, something that ends the session, and what is said after that

What is known to be answered differently (``known.py``) is not said.
"""

import random
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.conformance.catalogue import PAIRED, Fields, Item, Spec, read_spec, values_of
from tests.conformance.definition import SOH, Action, Definition, Step, checksum
from tests.conformance.scripts import script
from tests.conformance.versions import SENDER, Session

#: Messages in one conversation of each kind, and connections in one of ``endings``.
LENGTH = {"fields": 200, "bytes": 40, "sessions": 60, "endings": 6}

_ODD_VALUES = (
    "", " ", "0", "-1", "+1", "00", "Y", "N", "abc", "1.5", "1,5", "1e3", "1 2", " 1", "1 ", "99999999999", "-", ".",
    "-.", "2147483647", "2147483648", "-2147483648", "a=b", "=", "20260102", "20260102-03:04:05", "03:04:05", "\xe9",
    "{", "\t",
)  # fmt: skip
_ODD_TAGS = (0, -1, 999, 1500, 2999, 4999, 5000, 5001, 9999, 10000, 20000, 112, 7, 16, 36, 45, 98, 108, 141, 383, 789)
_ODD_TYPES = ("*", "U", "U1", "UAB", "ZZ", "d0", "a", "00", "A1", "ABC", "1 ", "\xe9")
_ROUTE = (50, 57, 115, 116, 128, 129, 142, 143, 144, 145)
_MORE_HEADER = (347, 369, 370, 1128, 1129, 1156)
_TIMES = frozenset(("UTCTIMESTAMP", "TIME"))
_SEVERAL = frozenset(("MULTIPLEVALUESTRING", "MULTIPLECHARVALUE", "MULTIPLESTRINGVALUE"))
#: Fields that the session acts upon, or that are raw data and their lengths.
_UNTOUCHED = frozenset((8, 9, 10, 34, 35, 43, 49, 52, 56, 89, 90, 91, 93, 97, 122, 212, 213))
#: As often as orders, which are echoed: lists and definitions. All else is refused by the application.
_OFTEN = ("D", "D", "D", "D", "E", "d")
_NOT_SAID = frozenset("245A")
#: The reference sorts more fields than these by an algorithm that leaves those of equal tags in any order.
_FEW = 14


def _logon(session: Session) -> Fields:
    fields: Fields = [(98, "0"), (108, "30")]
    return [*fields, (1137, session.default_appl_ver_id)] if session.default_appl_ver_id else fields


def _wire(session: Session, msg_type: str, seq: int, header: Fields, rest: Fields) -> bytes:
    """A message without BodyLength and CheckSum, the session's own header fields first."""
    fields: list[tuple[int | str, str]] = [
        (8, session.begin_string), (35, msg_type), (34, str(seq)), (49, session.target), (52, "<TIME>"), (56, SENDER),
    ]  # fmt: skip
    if any(tag == 52 for tag, _ in header):
        fields.remove((52, "<TIME>"))
    return "".join(f"{tag}={value}\x01" for tag, value in (*fields, *header, *rest)).encode("latin-1")


class _Fields:
    """Messages of one version with random contents."""

    def __init__(self, directory: Path, session: Session, seed: str) -> None:
        self.random = random.Random(seed)
        self.session = session
        self.spec = read_spec(directory / session.xml)
        fixt = session.begin_string == "FIXT.1.1"
        self.transport = read_spec(directory / "FIXT11.xml") if fixt else self.spec
        self.types = sorted({*self.spec.messages, *self.transport.messages} - _NOT_SAID)
        self.often = [msg_type for msg_type in _OFTEN if msg_type in self.spec.messages]
        self.tags = sorted({*self.spec.types, *self.transport.types} - _UNTOUCHED - {1128})

    def _type_of(self, tag: int) -> str:
        return self.spec.types.get(tag) or self.transport.types.get(tag, "")

    def _raw(self, tag: int) -> bool:
        return self._type_of(tag) in PAIRED

    def value(self, spec: Spec, tag: int) -> str:
        """Sound most of the time."""
        draw, enums, field_type = self.random.random(), spec.enums.get(tag), spec.types.get(tag, "")
        if draw < 0.06:
            return self.random.choice(values_of(spec, tag))
        if enums:
            count = self.random.randint(1, 3) if field_type in _SEVERAL else 1
            return " ".join(self.random.choice(enums) for _ in range(count))
        if field_type in _TIMES and draw < 0.5:
            return "<TIME>" + self.random.choice(("", ".1", ".123", ".123456", ".123456789", ".", ".1234567890", "Z"))
        return values_of(spec, tag)[0]

    def items(self, spec: Spec, items: list[Item], chance: float, depth: int = 0) -> Fields:
        """Fields for ``items``: what is required nearly always, the rest by ``chance``."""
        fields: Fields = []
        for place, item in enumerate(items):
            if item.tag in _UNTOUCHED or self._raw(item.tag):
                continue
            needed = item.required or (depth > 0 and place == 0)
            if self.random.random() > (0.99 if needed else chance):
                continue
            if not item.members:
                fields.append((item.tag, self.value(spec, item.tag)))
                continue
            entries = self.random.choice((0, 1, 1, 2, 3)) if depth < 3 else 0
            count = entries + (self.random.choice((-1, 1)) if self.random.random() < 0.08 else 0)
            fields.append((item.tag, str(count)))
            for _ in range(entries):
                entry = self.items(spec, item.members, 0.25 / (depth + 1), depth + 1)
                if self.random.random() < 0.08:
                    self.random.shuffle(entry)
                fields += entry
        return fields

    def header(self) -> Fields:
        """Routing and flags, seldom faulty."""
        fields: Fields = []
        if self.random.random() < 0.3:
            chosen = self.random.sample(_ROUTE, self.random.randint(1, 4))
            fields += [(tag, self.random.choice(("A", "LDN", "a b", ""))) for tag in sorted(chosen)]
        if self.random.random() < 0.12:
            tag = self.random.choice(_MORE_HEADER)
            version = self.session.default_appl_ver_id or "9"
            fields.append((tag, version if tag == 1128 else self.random.choice(("1", "5", "9", "4", "x", ""))))
        if self.random.random() < 0.15:
            fields.append((97, self.random.choice("YYYYNX")))
        if self.random.random() < 0.1:
            fields.append((43, self.random.choice("YYYNX")))
            if self.random.random() < 0.8:
                fields.append((122, self.random.choice(("<TIME>", "<TIME-5>", "<TIME>.123", "x", "20260102", ""))))
        if self.random.random() < 0.03:
            fields.append((52, self.random.choice(("<TIME>.123", "<TIME>.123456", "", "x", "20260102"))))
        return fields

    def spoil(self, header: Fields, body: Fields) -> None:
        """One fault, in place."""
        draw, fields = self.random.random(), body if body and self.random.random() < 0.9 else header
        free = [place for place, (tag, _) in enumerate(fields) if tag not in (52, 1128) and not self._raw(tag)]
        place = self.random.choice(free) if free else -1
        at = self.random.randint(0, len(fields))
        if draw < 0.2:
            tag = self.random.choice(_ODD_TAGS if self.random.random() < 0.5 else self.tags)
            if not self._raw(tag):
                fields.insert(at, (tag, self.random.choice((*_ODD_VALUES, "1", "A", "x", "100"))))
        elif place < 0:
            return
        elif draw < 0.35:
            del fields[place]
        elif draw < 0.6:
            tag = fields[place][0]
            odd = (*_ODD_VALUES, *values_of(self.spec, tag), *values_of(self.transport, tag))
            fields[place] = (tag, self.random.choice(odd))
        elif draw < 0.72:
            fields.insert(self.random.choice((at, place, len(fields))), fields[place])
        elif draw < 0.82:
            other = self.random.choice(free)
            fields[place], fields[other] = fields[other], fields[place]
        elif draw < 0.86:
            self.random.shuffle(fields)
        elif draw < 0.93:
            body.insert(self.random.randint(0, len(body)), (self.random.choice(_ROUTE), "MOVED"))
        else:
            header.insert(self.random.randint(0, len(header)), fields[place])

    def message(self, seq: int) -> bytes:
        """The next one."""
        draw = self.random.random()
        if draw < 0.02:
            msg_type, spec, items = self.random.choice(_ODD_TYPES), self.spec, [Item(58, True)]
        else:
            msg_type = self.random.choice(self.often if draw < 0.75 else self.types)
            spec = self.spec if msg_type in self.spec.messages else self.transport
            items = spec.messages[msg_type]
        header = self.header()
        body = self.items(spec, items, self.random.choice((0.0, 0.05, 0.1, 0.5)))
        faults = self.random.choice((0, 0, 1, 1, 1, 2, 3))
        for _ in range(faults):
            self.spoil(header, body)
        if faults and len(body) > _FEW:
            first = dict(reversed([*header, *body]))
            body = [(tag, first[tag]) for tag, _ in body]
        return _wire(self.session, msg_type, seq, header, body)


def _opened(session: Session) -> Iterator[Step]:
    yield Step(Action.CONNECT, 1, b"", 0)
    yield Step(Action.SEND, 1, _wire(session, "A", 1, [], _logon(session)), 1)
    yield Step(Action.EXPECT, 1, b"", 1)


def _closed(session: Session, seq: int, line: int) -> Iterator[Step]:
    yield Step(Action.SEND, 1, _wire(session, "5", seq, [], []), line)
    yield Step(Action.EXPECT_DISCONNECT, 1, b"", line)


def fields_run(directory: Path, session: Session, seed: int) -> Definition:
    """Messages of every type, sound and faulty."""
    name = f"{session.name}/fields_{seed:05d}"
    maker, length = _Fields(directory, session, name), LENGTH["fields"]
    said = [Step(Action.SEND, 1, maker.message(seq), seq) for seq in range(2, length + 2)]
    return Definition(name, (*_opened(session), *said, *_closed(session, length + 2, length + 2)))


# ------------------------------------------------------------------------------ bytes


_LENGTH = re.compile(rb"\x019=[0-9]+\x01")
_SUM = re.compile(rb"\x0110=([0-9]+)\x01$")


def _comparable(raw: bytes) -> bool:
    """Whether both engines say the same, however the bytes come in.

    Behind a BodyLength that is no number the reference forgets what came in the same read (the own scripts
    send such messages alone), and it takes a right CheckSum of fewer than three digits.
    """
    found = _SUM.search(raw)
    short = found is not None and len(found[1]) != 3 and int(found[1]) == checksum(raw[: found.start() + 1])
    return _LENGTH.search(raw) is not None and not short


def _damaged(seed: str, raw: bytes) -> bytes:
    """``raw``, spoilt in one way that ``seed`` chooses."""
    damaged = _spoilt(random.Random(seed), raw)
    return damaged if _comparable(damaged) else raw[:-4] + b"   \x01"


def _spoilt(draw: random.Random, raw: bytes) -> bytes:
    kind, at = draw.random(), draw.randrange(len(raw))
    some = bytes([draw.choice(b"\x01=8901 aZ\xff\x00\n")])
    start = raw.index(b"\x019=") + 3
    stop = raw.index(SOH, start)
    body = raw[stop + 1 : -7]
    if kind < 0.15:
        return raw[:-4] + b"%03d\x01" % draw.randrange(256)
    if kind < 0.25:
        return raw[:-7] + draw.choice((b"10=\x01", b"10=1\x01", b"10=1234\x01", b"10=abc\x01", b"10=-01\x01"))
    if kind < 0.4:
        return _summed(raw[:start] + b"%d\x01" % (len(body) + draw.choice((-30, -8, -7, -2, -1, 1, 2, 6, 7, 8))) + body)
    if kind < 0.5:
        odd = draw.choice((b"0", b"00%d" % len(body), b"1", b"000"))
        return _summed(raw[:start] + odd + SOH + body)
    if kind < 0.6:
        return raw[:at] + some + raw[at + 1 :]
    if kind < 0.7:
        return raw[:at] + raw[at + 1 :]
    if kind < 0.78:
        return raw[:at] + some + raw[at:]
    if kind < 0.84:
        return draw.choice((b"junk", b"8", b"8=FIX", b"10=000\x01", b"9=5\x01", SOH, b"8=FIX.4.2\x019=5\x01")) + raw
    if kind < 0.9:
        return raw + draw.choice((b"junk", b"\n", SOH, b"8", b"10=000\x01", b"\r\n"))
    if kind < 0.95:
        return raw[:at]
    fields = raw[:-1].split(SOH)
    one, other = draw.randrange(len(fields)), draw.randrange(4)
    fields[one], fields[other] = fields[other], fields[one]
    return SOH.join(fields) + SOH


def _summed(raw: bytes) -> bytes:
    return raw + b"10=%03d\x01" % checksum(raw)


def bytes_run(session: Session, seed: int) -> Definition:
    """Damaged messages, each followed by two sound ones with its number, which is thus taken once."""
    name = f"{session.name}/bytes_{seed:05d}"
    steps, length = list(_opened(session)), LENGTH["bytes"]
    dup: Fields = [(43, "Y"), (122, "<TIME>")]
    for seq in range(2, length + 2):
        spoil = partial(_damaged, f"{name}/{seq}")
        steps.append(Step(Action.SEND, 1, _wire(session, "1", seq, [], [(112, f"A{seq}")]), seq, spoil))
        steps += [Step(Action.SEND, 1, _wire(session, "1", seq, dup, [(112, f"B{seq}")]), seq) for _ in range(2)]
    return Definition(name, (*steps, *_closed(session, length + 2, length + 2)))


# ------------------------------------------------------------------- sessions and ends

_DUP = "43=Y|122=<TIME>"


class _Talk:
    """Lines of ``scripts.py`` for one session, and what both sides should have counted so far."""

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self.random = random.Random(f"{session.name}/{name}")
        self.order = 0
        self.start_over(2)

    def start_over(self, expected: int) -> None:
        """After a Logon."""
        self.expected = expected
        self.said = 1  # what the acceptor has sent, at least
        self.before = self.order  # ClOrdIDs of an earlier connection may or may not be forgotten by the reference
        self.held: set[int] = set()

    def taken(self, seq: int, answers: int = 0) -> None:
        """``seq`` was said and not refused for its number."""
        if seq > self.expected:
            self.held.add(seq)
        elif seq == self.expected:
            self.expected += 1
            self.said += answers
        while self.expected in self.held:
            self.held.discard(self.expected)
            self.expected += 1

    def line(self) -> str:
        """One message that does not end the session."""
        choices = [self.ordinary, self.ordinary, self.ordinary, self.low, self.garbled]
        choices += (
            [self.high] if self.held else [self.high, self.resend, self.resend, self.reset, self.fill, self.refused]
        )
        if not self.held and self.session.begin_string != "FIX.4.0" and self.random.random() < 0.05:
            return self.logon()
        return self.random.choice(choices)()

    def body(self, shown: str) -> str:
        """An ordinary message with this number."""
        draw = self.random.random()
        if draw < 0.4:
            return f"35=1|{shown}|112=T{self.random.randint(1, 99)}"
        if draw < 0.5:
            return f"35=0|{shown}"
        if draw < 0.55 and shown == f"34={self.expected}":
            return f"35=3|{shown}|45=1|58=no"
        self.order += 1
        resend = self.random.choice(("", "", "", "|97=Y", "|97=N"))
        number = self.random.randint(max(self.before + 1, self.order - 4), self.order)
        return f"35=D|{shown}{resend}|11={self.name}-{number}|{{order}}"

    def ordinary(self) -> str:
        """With the number that is expected."""
        seq, dup = self.expected, self.random.random() < (0.5 if self.held else 0.1)
        line = self.body(f"34={seq}" + (f"|{_DUP}" if dup else ""))
        self.taken(seq, answers=line.startswith("35=1"))
        return line

    def high(self) -> str:
        """Beyond a gap, or behind what is held already."""
        seq = max(self.held) + 1 if self.held else self.expected + self.random.randint(1, 4)
        self.taken(seq)
        return self.body(f"34={seq}")

    def low(self) -> str:
        """A duplicate."""
        if self.expected < 3:
            return self.ordinary()
        seq = self.random.randint(1, self.expected - 1)
        flags = self.random.choice((_DUP, _DUP, "43=Y|122=<TIME-30>", "43=Y", "43=Y|122=x", "43=Y|122="))
        return self.body(f"34={seq}|{flags}")

    def garbled(self) -> str:
        """A wrong CheckSum, or a BodyLength that is too short."""
        fault = self.random.choice(("10=000|", "9=40|", ""))
        body = self.body(f"34={self.expected}").partition("|")[2]
        head = f"8={{begin}}|{fault if fault.startswith('9') else ''}35=1|49={{target}}|52=<TIME>|56=ISLD|"
        return f"> {head}{body}|{fault if fault.startswith('1') else ''}" if fault else self.ordinary()

    def resend(self) -> str:
        """A request for what was said."""
        begin = self.random.randint(1, self.said)
        end = self.random.choice(("{all}", "999999", "0", str(begin), str(begin + 1), str(begin + 5), str(self.said)))
        seq = self.expected
        self.taken(seq)
        return f"35=2|34={seq}|7={begin}|16={end}"

    def reset(self) -> str:
        """A reset, up or nowhere."""
        new = self.expected + self.random.choice((0, 0, 1, 2, 5))
        seq = self.random.choice((0, 1, self.expected, self.expected + 7))
        self.expected = new
        flags = self.random.choice(("", "|123=N", f"|{_DUP}", f"|{_DUP}|123=N"))
        return f"35=4|34={seq}{flags}|36={new}"

    def fill(self) -> str:
        """A gap fill with the expected number, up, or a duplicate that says nothing new."""
        if self.expected > 2 and self.random.random() < 0.3:
            return f"35=4|34={self.expected - 1}|{_DUP}|36={self.expected + self.random.randint(0, 3)}|123=Y"
        seq, flags = self.expected, self.random.choice(("", f"|{_DUP}"))
        self.expected += self.random.randint(1, 5)
        return f"35=4|34={seq}{flags}|36={self.expected}|123=Y"

    def refused(self) -> str:
        """A fault that costs a number."""
        seq = self.expected
        line = self.random.choice(
            ("35=D|{seq}|11=|{order}", "35=D|{seq}|{order}", "35=*|{seq}", "35=1|{seq}", "35=0|{seq}|999=1",
             "35=0|{seq}|58=", "35=2|{seq}|7=1", "35=2|{seq}|7=x|16=0", "35=3|{seq}", "35=0|{seq}|50=",
             "35=8|{seq}|37=1", "35=j|{seq}|45=1|372=D|380=0", "35=D|{seq}|43=X|11=A|{order}", "35=1|{seq}|112=A|112=B")
        )  # fmt: skip
        self.taken(seq, answers=self.session.validate_fields_have_values)
        return line.replace("{seq}", f"34={seq}")

    def logon(self) -> str:
        """Start over in place."""
        self.start_over(2)
        return "35=A|34=1|98=0|108=30|141=Y" + ("|1137={appl}" if self.session.default_appl_ver_id else "")


def _said(line: str) -> str:
    return line.replace("> ", ">> ", 1) if line.startswith("> ") else f"> {line}"


def sessions_run(session: Session, seed: int) -> Definition:
    """One long session, ended by a Logout with the number that should be expected."""
    name = f"sessions_{seed:05d}"
    talk = _Talk(session, name)
    lines = [_said(talk.line()) for _ in range(LENGTH["sessions"])]
    return script(name, "\n".join(["+", *lines, f"- {talk.expected}"]), session)


#: Logons that are taken; {appl} is only said where the version has it.
_LOGONS = (
    "35=A|34={n}|98=0|108=30", "35=A|34={n}|98=0|108=30", "35=A|34={n}|98=0|108=30|141=N", "35=A|34={n}|108=60|98=0",
    "35=A|34={n}|50=SUB|57=DESK|98=0|108=30", "35=A|34={n}|115=OBO|128=TO|98=0|108=30", "35=A|34={n}|97=N|98=0|108=30",
    "35=A|34={n}|43=N|98=0|108=30", "35=A|34={n}|90=3|91=a=b|98=0|108=30", "35=A|34={n}|98=0|108=30|95=3|96=abc",
    "35=A|34={n}|52=<TIME>.123|98=0|108=30", "35=A|34={n}|98=0|108=0",
)  # fmt: skip
#: First messages that are none of a Logon; faulty Logons are in the own scripts (many in a row end the reference).
_FIRST = (
    "35=0|34=1", "35=5|34=1", "35=D|34=1|11=A|{order}", "35=*|34=1", "35=2|34=1|7=1|16=0", "35=4|34=1|36=9",
    "35=1|34=1|112=A", "35=3|34=1|45=1", "35=D|34=7|43=Y|122=<TIME>|11=A|{order}", "35=1|34=1|52=<TIME-121>|112=A",
)  # fmt: skip
#: What ends a session, whatever its number is; {seq} is one that fits.
_ENDS = (
    "35=1|34=1|112=LOW", "35=0|34=1", "35=D|34=1|11=A|{order}", "35=4|34=1|36=50|123=Y", "35=3|34=1|45=1",
    "35=8|34=1|37=1|17=1|20=0|150=0|39=0|55=A|54=1|38=1|151=1|14=0|6=0|31=0|32=0",
    "35=1|34=1|43=N|112=LOW", "35=1|34=1|43=Y|122=<TIME+60>|112=A", "35=D|34=1|43=Y|122=<TIME+60>|11=A|{order}",
    "35=1|34={seq}|52=<TIME-121>|112=A", "35=D|34={seq}|52=<TIME+200>|11=A|{order}", "35=0|34={seq}|52=<TIME-3600>",
    "35=4|34={seq}|52=<TIME-121>|36=20|123=Y", "35=4|34={seq}|52=<TIME-121>|36=20",
    "35=2|34={seq}|52=<TIME-121>|7=1|16=0", "35=5|34={seq}|52=<TIME-121>", "35=1|34={high}|52=<TIME-121>|112=A",
    "35=1|34=1|52=<TIME-121>|112=A", "35=1|34={seq}|49=NOBODY|112=A",
    "35=1|34={seq}|56=NOBODY|112=A", "35=D|34={seq}|49=NOBODY|11=A|{order}",
    "35=5|34={seq}|49=NOBODY", "35=2|34={seq}|56=NOBODY|7=1|16=0", "35=4|34={seq}|56=NOBODY|36=50",
    "8=FIX.3.9|35=1|34={seq}|112=A", "8=FIX.4.9|35=D|34={seq}|11=A|{order}",
    "8=FIX.4.9|35=5|34={seq}", "35=5|34={seq}", "35=5|34={high}", "35=5|34=1", "35=5|34={seq}|58=bye",
)  # fmt: skip


def _ending(talk: _Talk) -> Iterator[str]:
    """One connection to its end."""
    draw = talk.random
    if draw.random() < 0.25:
        yield "connect"
        yield f"> {draw.choice(_FIRST)}"
        yield "<"  # the reference closes at once, or at the next message
        yield "> 35=5|34=2"
        yield "<<"
        return
    high = draw.random() < 0.1
    yield "connect"
    old = talk.session.begin_string == "FIX.4.0"
    logon = draw.choice([one for one in _LOGONS if not (old and "141" in one)])
    if not (high or old or "141" in logon) and draw.random() < 0.2:
        logon += "|141=Y"
    version = "|1137={appl}" if talk.session.default_appl_ver_id else ""
    yield f"> {logon.replace('{n}', str(draw.randint(2, 9) if high else 1))}{version}"
    yield "<"
    talk.start_over(2)
    if not high:
        yield from (_said(talk.line()) for _ in range(draw.choice((0, 0, 2, 6))))
        while talk.held:  # the reference answers orders after its Logout
            yield _said(talk.ordinary())
    # The reference counts a message of another version whatever its number.
    end = draw.choice([one for one in _ENDS if not (high and one.startswith("8="))])
    end = end.replace("{seq}", str(talk.expected)).replace("{high}", str(talk.expected + 6))
    yield f"> {end}"
    after = talk.expected + draw.choice((0, 1))
    if "<TIME-" in end or "<TIME+2" in end:
        after = talk.expected  # what came with a wrong time is not counted; in the reference it is
    else:
        for _ in range(draw.choice((0, 0, 1, 2))):
            yield f"> 35={draw.choice('01')}|34={after}|112=A"
            after += 1
    yield f"> 35=5|34={after}"
    yield "<<"


def endings_run(session: Session, seed: int) -> Definition:
    """Short sessions, one after another."""
    name = f"endings_{seed:05d}"
    talk = _Talk(session, name)
    lines = [line for _ in range(LENGTH["endings"]) for line in _ending(talk)]
    return script(name, "\n".join(lines), session)


def situations(directory: Path | None, session: Session, count: int, first: int = 0) -> Iterator[Definition]:
    """``count`` conversations of each kind; ``fields`` needs the reference's dictionaries."""
    for seed in range(first, first + count):
        if directory is not None:
            yield fields_run(directory, session, seed)
        yield bytes_run(session, seed)
        yield sessions_run(session, seed)
        yield endings_run(session, seed)
