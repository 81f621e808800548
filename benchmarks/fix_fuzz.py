"""A million mutated messages through framing, parsing, validation and the session machine.

``python benchmarks/fix_fuzz.py [--messages 1000000] [--seed 1] [--version FIX.4.4] [--atheris]``

Rules that every input is held to, whatever it is:

* no exception leaves ``frame``, ``parse`` (but GarbledMessageError), ``Validator.check`` or the machine;
* framing goes forward: bytes before its answer are never looked at again;
* messages reach the application in the order of their numbers, without a hole, each once;
* what the machine answers is sound FIX, numbered as the store says, one number once;
* it does not hang (a watchdog ends the run) and memory does not grow with the number of messages.

The first input that breaks a rule is printed with the seed that makes it. ``--atheris`` lets the
coverage of libFuzzer steer the mutations instead (``pip install atheris``; endless until Ctrl-C).
The tests play a short form of the same (tests/fix/test_fuzz.py).
"""

import argparse
import faulthandler
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fix.dictionary import load, validator_for
from fix.dictionary.layout import Member
from fix.errors import GarbledMessageError
from fix.messages import SOH, Field, build, checksum, frame, parse, utc_timestamp
from fix.session import AppMessage, Disconnect, Role, SequencesReset, SessionMachine, SessionSettings, State
from fix.store import MessageStore

VERSIONS = ("FIX.4.0", "FIX.4.1", "FIX.4.2", "FIX.4.3", "FIX.4.4", "FIXT.1.1")
APPLICATION = {"FIXT.1.1": "FIX.5.0SP2"}
APPL_VER_ID = "9"
START_NS = 1_450_967_400_000_000_000
BATCH = 2_000
HANG_S = 20.0
MOST_GROWTH_MIB = 16.0
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
_SESSION: dict[str, list[Field]] = {
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
        self.bodies: dict[str, list[list[Field]]] = {name: [body] for name, body in _SESSION.items()}
        for msg_type in self._dictionary.msg_types:
            definition = self._dictionary.message(msg_type)
            if definition is not None and msg_type not in _SESSION:
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


class RuleBrokenError(Exception):
    """An input broke one of the rules above."""


class Mutator:
    """Messages that are nearly right: built well, then harmed, then half of them made well-formed again."""

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

    def message(self, msg_type: str, seq: int, now_ns: int) -> bytes:
        """One sound message."""
        header: list[Field] = []
        if self.rng.random() < 0.1:
            header = [(43, "Y"), (122, utc_timestamp(now_ns))]
        body = list(self.rng.choice(self.corpus.bodies[msg_type]))
        if msg_type == "A" and self.version == "FIXT.1.1":
            body.append((1137, APPL_VER_ID))
        return build(self.version, msg_type, seq, "PEER", "AXIOM", utc_timestamp(now_ns), body, header)

    def next(self, expected: int, now_ns: int) -> bytes:
        """A message around ``expected``, as likely as not mutated."""
        rng = self.rng
        seq = expected
        if rng.random() < 0.3:
            seq = max(0, expected + rng.choice((-5, -1, 1, 2, 3, 50, 100_000)))
        roll = rng.random()
        msg_type = rng.choice(self.corpus.frequent if roll < 0.5 else self._types if roll < 0.8 else list(_SESSION))
        raw = self.message(msg_type, seq, now_ns)
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
            raw = rng.choice(self._ways)(raw)
        return self.mend(raw) if rng.random() < 0.8 else raw

    def mend(self, raw: bytes) -> bytes:
        """``raw`` with BodyLength and CheckSum made right, so that what is behind them is reached."""
        fields = raw.split(SOH)
        body = SOH.join(field for field in fields[2:] if not field.startswith(b"10="))
        body = body if body.endswith(SOH) else body + SOH
        head = b"%b\x019=%d\x01" % (fields[0], len(body))
        return b"%b%b10=%03d\x01" % (head, body, (checksum(head) + checksum(body)) & 0xFF)

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


class Fuzzer:
    """One session that is told nonsense, and the rules it must keep."""

    def __init__(self, directory: Path, seed: int, version: str = "FIX.4.4") -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now_ns = START_NS
        self.mutator = Mutator(self.rng, version)
        appl_ver_id = APPL_VER_ID if version == "FIXT.1.1" else ""
        self.validator = validator_for(version, appl_ver_id)
        self.settings = SessionSettings(
            sender_comp_id="AXIOM", target_comp_id="PEER", role=Role.ACCEPTOR, begin_string=version,
            default_appl_ver_id=appl_ver_id, reset_on_logon=True,
        )  # fmt: skip
        self.machine = SessionMachine(self.settings, MessageStore(directory), self.validator)
        self.counts: Counter[str] = Counter()
        self.connections = 0
        self._buffer = b""
        self._expected_app = 0
        self._next_out = 1

    def close(self) -> None:
        """Let go of the store."""
        self.machine.store.release()

    def play(self, messages: int) -> None:
        """Feed ``messages`` mutated messages, in pieces of any size; RuleBrokenError names what went wrong."""
        for _ in range(messages):
            if self.machine.state is State.DISCONNECTED:
                self._log_on()
            raw = self.mutator.next(self.machine.next_in, self.now_ns)
            self.counts["messages"] += 1
            self._feed(raw)
            if self.rng.random() < 0.02:
                self.now_ns += self.rng.choice((1, 10, 31, 40)) * 1_000_000_000
                self._events(self.machine.tick(self.now_ns), b"(time)")

    def feed_bytes(self, data: bytes) -> None:
        """Feed raw bytes to a session that is logged on (libFuzzer's entry)."""
        if self.machine.state is State.DISCONNECTED:
            self._log_on()
        self._feed(data)

    def _log_on(self) -> None:
        self.connections += 1
        self._buffer = b""
        self._events(self.machine.connected(self.now_ns), b"(connected)")
        self._receive(self.mutator.message("A", 1, self.now_ns))

    def _feed(self, raw: bytes) -> None:
        while raw and self.machine.state is not State.DISCONNECTED:
            size = len(raw) if self.rng.random() < 0.8 else self.rng.randrange(1, len(raw) + 1)
            piece, raw = raw[:size], raw[size:]
            self._buffer += piece
            self._drain()

    def _drain(self) -> None:
        while self.machine.state is not State.DISCONNECTED:
            size = len(self._buffer)
            begin, stop = frame(self._buffer, 0, size)
            if not 0 <= begin <= stop <= size:
                raise RuleBrokenError(f"frame answered {begin}..{stop} of {size} bytes: {self._buffer!r}")
            raw, self._buffer = self._buffer[begin:stop], self._buffer[max(begin, stop) :]
            if begin == stop:
                if len(self._buffer) > 1 << 21:
                    raise RuleBrokenError(f"{len(self._buffer)} bytes are held for one message")
                return
            self._receive(raw)

    def _receive(self, raw: bytes) -> None:
        try:
            message = parse(raw)
        except GarbledMessageError:
            self.counts["garbled"] += 1
        else:
            refusal = self.validator.check(message, self.settings.default_appl_ver_id)
            self.counts["refused" if refusal else "sound"] += 1
        self._events(self.machine.receive(raw, self.now_ns), raw)

    def _events(self, events: list, raw: bytes) -> None:
        machine = self.machine
        closing = False
        for event in events:
            if isinstance(event, SequencesReset):
                self._expected_app = 0
            elif isinstance(event, AppMessage):
                if event.seq <= self._expected_app:
                    raise RuleBrokenError(f"message {event.seq} after {self._expected_app}; last input {raw!r}")
                self._expected_app = event.seq
                self.counts["delivered"] += 1
            elif isinstance(event, Disconnect):
                closing = True
        if machine.next_in <= self._expected_app and not closing:
            raise RuleBrokenError(f"next_in {machine.next_in} after message {self._expected_app}; last input {raw!r}")
        machine.commit()
        self._answers(machine.take_output(), raw)
        if closing:
            machine.disconnected(self.now_ns)

    def _answers(self, out: bytes, raw: bytes) -> None:
        position = 0
        while position < len(out):
            begin, stop = frame(out, position, len(out))
            if begin != position or stop == begin:
                raise RuleBrokenError(f"the answer is not FIX: {out[position:]!r}; input {raw!r}")
            answer = parse(out[begin:stop])
            if (answer.seq or 0) >= self.machine.next_out and not answer.flag(43):
                raise RuleBrokenError(f"answer {answer.raw!r} has a number that the store does not know; input {raw!r}")
            self.counts["answers"] += 1
            position = stop


def rss_mib() -> float:
    """Resident memory of this process now, MiB."""
    with open("/proc/self/statm") as source:
        return int(source.read().split()[1]) * resource.getpagesize() / 2**20


def run_version(messages: int, seed: int, version: str) -> tuple[Counter[str], float]:
    """One version's share: what happened, and MiB by which memory grew in the second half."""
    directory = Path(tempfile.mkdtemp(prefix="axiom-fuzz-"))
    fuzzer = Fuzzer(directory, seed, version)
    settled = 0.0
    try:
        for done in range(0, messages, BATCH):
            if not settled and 2 * done >= messages:
                settled = rss_mib()
            faulthandler.dump_traceback_later(HANG_S, exit=True)
            fuzzer.play(min(BATCH, messages - done))
    except Exception as error:
        print(f"\n{version}, seed {seed}, message {fuzzer.counts['messages']}: {error}", file=sys.stderr)
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()
        fuzzer.close()
        shutil.rmtree(directory)
    fuzzer.counts["connections"] = fuzzer.connections
    return fuzzer.counts, rss_mib() - settled if settled else 0.0


def run(messages: int, seed: int, versions: tuple[str, ...]) -> int:
    """The long form; the exit code."""
    print(f"{messages:,} mutated messages, seed {seed}, over {', '.join(versions)}")
    begun = time.perf_counter()
    worst = 0.0
    for number, version in enumerate(versions):
        counts, grown = run_version(-(-messages // len(versions)), seed + number, version)
        worst = max(worst, grown)
        print(f"  {version:9}", ", ".join(f"{name} {counts[name]:,}" for name in sorted(counts)))
    seconds = time.perf_counter() - begun
    print(
        f"no rule broken; {seconds:.0f} s, {1e6 * seconds / messages:.0f} us a message; memory at most +{worst:.1f} MiB"
    )
    if worst > MOST_GROWTH_MIB:
        print(
            f"memory grew by {worst:.1f} MiB in the second half of a version; at most {MOST_GROWTH_MIB}",
            file=sys.stderr,
        )
        return 1
    return 0


def run_atheris(argv: list[str]) -> None:
    """Let libFuzzer steer; never returns."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris (wheels for CPython 3.11 to 3.13 on Linux)")
    with atheris.instrument_imports(include=["fix"]):
        import fix.messages  # noqa: F401
    fuzzer = Fuzzer(Path(tempfile.mkdtemp(prefix="axiom-fuzz-")), 1)

    def one_input(data: bytes) -> None:
        fuzzer.feed_bytes(fuzzer.mutator.mend(b"8=FIX.4.4\x019=1\x01" + data))
        fuzzer.feed_bytes(data)

    atheris.Setup(argv, one_input)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--version", choices=VERSIONS, help="one version; default: all of them in turn")
    parser.add_argument("--atheris", action="store_true", help="coverage-guided; further arguments go to libFuzzer")
    known, rest = parser.parse_known_args()
    if known.atheris:
        run_atheris([sys.argv[0], *rest])
        return
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    sys.exit(run(known.messages, known.seed, (known.version,) if known.version else VERSIONS))


if __name__ == "__main__":
    main()
