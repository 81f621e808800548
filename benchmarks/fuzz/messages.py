"""Messages that are nearly right, for both engines of ``fix_fuzz.py``: sound ones, and ways to harm them.

Nothing here judges; the rules are in ``fuzz/rules.py``.
"""

import random
from collections.abc import Mapping

from fix.dictionary import load
from fix.dictionary.layout import Member
from fix.messages import SOH, Field, build, checksum, utc_timestamp

APPLICATION = {"FIXT.1.1": "FIX.5.0SP2"}
APPL_VER_ID = "9"
_NASTY = (
    b"", b"0", b"-1", b"00000000000000000001", b"9223372036854775808", b"1e9", b"+1", b" 1", b"NaN", b"Y", b"N",
    b"\xff\xfe", b"20151224-25:61:61", b"20151224-14:30:00.000", b"99991231-23:59:60", b"=" * 40, b"A" * 4000,
    b"8=FIX.4.4", b"10=000",
)  # fmt: skip
_TAGS = (0, 1, 8, 9, 10, 34, 35, 36, 43, 45, 49, 52, 56, 95, 96, 97, 108, 112, 115, 122, 123, 141, 146, 268, 296, 369,
         383, 789, 1128, 1137, 5000, 99999, 10**12)  # fmt: skip
#: What an application says most often in these streams, so that sequences grow long.
_FREQUENT = ("D", "8", "0", "B", "j")
_TYPICAL = {
    "CHAR": "1", "BOOLEAN": "N", "UTCTIMESTAMP": "20151224-14:30:00", "TIME": "20151224-14:30:00", "DATE": "20151224",
    "UTCDATE": "20151224", "UTCDATEONLY": "20151224", "UTCTIMEONLY": "14:30:00", "LOCALMKTDATE": "20151224",
    "MONTHYEAR": "201512", "DAYOFMONTH": "24", "DAY-OF-MONTH": "24", "CURRENCY": "USD", "EXCHANGE": "N",
    "COUNTRY": "US", "MULTIPLEVALUESTRING": "1", "TZTIMEONLY": "14:30Z", "TZTIMESTAMP": "20151224-14:30:00Z",
    "LANGUAGE": "en",
}  # fmt: skip
#: Messages of the session itself, in every version.
SESSION: dict[str, list[Field]] = {
    "A": [(98, 0), (108, 30)],
    "0": [],
    "1": [(112, "TEST")],
    "2": [(7, 1), (16, 0)],
    "3": [(45, 1), (58, "no")],
    "4": [(36, 9), (123, "Y")],
    "5": [(58, "bye")],
}
_RAW_DATA: list[Field] = [(95, 5), (96, b"a\x01=b\x01")]


class Corpus:
    """Sound messages of every type of one version, made from its dictionary: required fields and some others."""

    def __init__(self, version: str, rng: random.Random) -> None:
        self._rng = rng
        self._dictionary = load(APPLICATION.get(version, version))
        self.bodies: dict[str, list[list[Field]]] = {name: [body] for name, body in SESSION.items()}
        for msg_type in self._dictionary.msg_types:
            definition = self._dictionary.message(msg_type)
            if definition is not None and msg_type not in SESSION:
                self.bodies[msg_type] = [self._entry(definition.members, extra) for extra in (0.0, 0.02, 0.15)]
        self.bodies["B"][0] += _RAW_DATA
        self.frequent = [name for name in _FREQUENT if name in self.bodies]

    def _entry(self, members: Mapping[int, Member], extra: float, first: int = 0) -> list[Field]:
        fields: list[Field] = []
        lengths = self._dictionary.data_tags
        for tag, member in members.items():
            definition = self._dictionary.field(tag)
            wanted = member.required or tag == first or self._rng.random() < extra
            if not wanted or definition is None or tag in lengths or tag in lengths.values():
                continue
            if member.group is not None:
                count = self._rng.choice((1, 2))
                fields.append((tag, count))
                for _ in range(count):
                    fields += self._entry(member.group.members, extra / 3, member.group.delimiter)
            else:
                fields.append((tag, next(iter(definition.values), _TYPICAL.get(definition.type, "1"))))
        return fields


def mend(raw: bytes) -> bytes:
    """``raw`` with BodyLength and CheckSum made right, so that what is behind them is reached."""
    fields = raw.split(SOH)
    body = SOH.join(field for field in fields[2:] if not field.startswith(b"10="))
    body = body if body.endswith(SOH) else body + SOH
    head = b"%b\x019=%d\x01" % (fields[0], len(body))
    return b"%b%b10=%03d\x01" % (head, body, (checksum(head) + checksum(body)) & 0xFF)


class Mutator:
    """Messages that are nearly right: built well, then harmed, then most of them made well-formed again."""

    def __init__(self, rng: random.Random, version: str) -> None:
        self.rng = rng
        self.version = version
        self.corpus = Corpus(version, rng)
        self._types = list(self.corpus.bodies)
        self._ways = (
            self._flip,
            self._cut,
            self._insert,
            self._drop,
            self._double,
            self._swap,
            self._retag,
            self._revalue,
        )

    def message(self, msg_type: str, seq: int, now_ns: int, extra: list[Field] | None = None) -> bytes:
        """One sound message, ``extra`` behind its body."""
        header: list[Field] = []
        if self.rng.random() < 0.1:
            header = [(43, "Y"), (122, utc_timestamp(now_ns))]
        body = list(self.rng.choice(self.corpus.bodies[msg_type])) + (extra or [])
        if msg_type == "A" and self.version == "FIXT.1.1":
            body.append((1137, APPL_VER_ID))
        return build(self.version, msg_type, seq, "PEER", "AXIOM", utc_timestamp(now_ns), body, header)

    def any_type(self) -> str:
        """A MsgType: often one that makes sequences grow, often one of the session."""
        roll = self.rng.random()
        names = self.corpus.frequent if roll < 0.5 else self._types if roll < 0.8 else list(SESSION)
        return self.rng.choice(names)

    def next(self, expected: int, now_ns: int) -> bytes:
        """A message around ``expected``, as likely as not mutated."""
        rng = self.rng
        seq = expected
        if rng.random() < 0.3:
            seq = max(0, expected + rng.choice((-5, -1, 1, 2, 3, 50, 100_000)))
        raw = self.message(self.any_type(), seq, now_ns)
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
            raw = self.harm(raw)
        return mend(raw) if rng.random() < 0.8 else raw

    def harm(self, raw: bytes) -> bytes:
        """``raw`` with one thing wrong."""
        return self.rng.choice(self._ways)(raw)

    def _place(self, raw: bytes) -> int:
        return self.rng.randrange(len(raw)) if raw else 0

    def _flip(self, raw: bytes) -> bytes:
        at = self._place(raw)
        return raw[:at] + bytes([self.rng.randrange(256)]) + raw[at + 1 :]

    def _cut(self, raw: bytes) -> bytes:
        at = self._place(raw)
        return raw[:at] + raw[at + self.rng.randrange(1, 30) :]

    def _insert(self, raw: bytes) -> bytes:
        at = self._place(raw)
        return raw[:at] + self.rng.choice((SOH, b"=", b"8=FIX", b"\x0110=000\x01", self.rng.randbytes(8))) + raw[at:]

    def _fields(self, raw: bytes) -> list[bytes]:
        return raw.split(SOH)[:-1]

    def _join(self, fields: list[bytes]) -> bytes:
        return b"".join(field + SOH for field in fields)

    def _drop(self, raw: bytes) -> bytes:
        fields = self._fields(raw)
        if fields:
            del fields[self.rng.randrange(len(fields))]
        return self._join(fields)

    def _double(self, raw: bytes) -> bytes:
        fields = self._fields(raw)
        if fields:
            fields.insert(self.rng.randrange(len(fields)), self.rng.choice(fields))
        return self._join(fields)

    def _swap(self, raw: bytes) -> bytes:
        fields = self._fields(raw)
        if len(fields) > 1:
            a, b = self.rng.randrange(len(fields)), self.rng.randrange(len(fields))
            fields[a], fields[b] = fields[b], fields[a]
        return self._join(fields)

    def _retag(self, raw: bytes) -> bytes:
        fields = self._fields(raw)
        if fields:
            at = self.rng.randrange(len(fields))
            fields[at] = b"%d=%b" % (self.rng.choice(_TAGS), fields[at].partition(b"=")[2])
        return self._join(fields)

    def _revalue(self, raw: bytes) -> bytes:
        fields = self._fields(raw)
        if fields:
            at = self.rng.randrange(len(fields))
            fields[at] = fields[at].partition(b"=")[0] + b"=" + self.rng.choice(_NASTY)
        return self._join(fields)
