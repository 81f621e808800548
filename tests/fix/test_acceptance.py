"""The public FIX.4.4 acceptance definitions, played against the machine in virtual time.

Each file is a script of one or two clients of an acceptor that echoes orders. Where the folder of
definitions is absent (``AXIOM_FIX_ACCEPTANCE``, or beside the checkout) these tests are skipped.
Files that need a dictionary of application messages are expected to fail until there is one.
"""

import os
import re
from pathlib import Path

import pytest

from fix.errors import GarbledMessageError
from fix.messages import Message, checksum, frame, parse
from fix.session import AppMessage, Disconnect, Role, SessionMachine, SessionSettings, State
from fix.store import MessageStore
from fix.testing import SECOND_NS, START_NS

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = Path(os.environ.get("AXIOM_FIX_ACCEPTANCE", ROOT.parent / "shared" / "fix-acceptance")) / "fix44"
FILES = sorted(DIRECTORY.glob("*.def"))
NEEDS_DICTIONARY = {
    "14a_BadField.def", "14b_RequiredFieldMissing.def", "14c_TagNotDefinedForMsgType.def",
    "14e_IncorrectEnumValue.def", "14f_IncorrectDataFormat.def", "14h_RepeatedTag.def",
    "14i_RepeatingGroupCountNotEqual.def", "RejectResentMessage.def", "ReverseRoute.def",
}  # fmt: skip
PATTERNS = {
    10: r"\d{3}", 42: r"\d{8}-\d{2}:\d{2}:\d{2}", 60: r"\d{8}-\d{2}:\d{2}:\d{2}", 122: r"\d{8}-\d{2}:\d{2}:\d{2}",
    52: r"\d{8}-\d{2}:\d{2}:\d{2}",
}  # fmt: skip
HEADER_COPIED = (97,)


class EchoVenue:
    """An acceptor on the machine alone: placement by CompID, the echo application, virtual time."""

    def __init__(self, directory: Path) -> None:
        self.settings = SessionSettings(
            sender_comp_id="ISLD", target_comp_id="TW44", role=Role.ACCEPTOR, reset_on_logon=True, stale_types=()
        )
        self.machine = SessionMachine(self.settings, MessageStore(directory))
        self.now_ns = START_NS
        self.live = 0  # connection that holds the session
        self.received: dict[int, bytes] = {}
        self.output: dict[int, list[Message]] = {}
        self.closed: set[int] = set()
        self.seen: set[str] = set()

    def connect(self, connection: int) -> None:
        self.received[connection] = b""
        self.output[connection] = []
        self.closed.discard(connection)

    def disconnect(self, connection: int) -> None:
        self.closed.add(connection)
        if connection == self.live:
            self.live = 0
            self.machine.disconnected(self.now_ns)
            self.seen.clear()

    def take(self, connection: int, data: bytes) -> None:
        self.received[connection] += data
        while connection not in self.closed:
            data = self.received[connection]
            begin, stop = frame(data, 0, len(data))
            self.received[connection] = data[stop:]
            if begin == stop:
                return
            if connection != self.live:
                self.place(connection, data[begin:stop])
            if connection == self.live:
                self.act(self.machine.receive(data[begin:stop], self.now_ns))

    def place(self, connection: int, raw: bytes) -> None:
        try:
            message = parse(raw)
            wanted = (message.text(8), message.text(56), message.text(49)) == self.settings.key
        except GarbledMessageError:
            wanted = False
        if not wanted or self.live or message.msg_type != "A":
            self.closed.add(connection)
            return
        self.live = connection
        self.act(self.machine.connected(self.now_ns))

    def act(self, events: list[object]) -> None:
        connection = self.live
        for event in events:
            if isinstance(event, AppMessage):
                self.echo(parse(event.raw))
        self.machine.commit()
        data = self.machine.take_output()
        while data:
            begin, stop = frame(data, 0, len(data))
            self.output[connection].append(parse(data[begin:stop]))
            data = data[stop:]
        if any(isinstance(event, Disconnect) for event in events):
            self.disconnect(connection)

    def echo(self, message: Message) -> None:
        if message.msg_type not in ("D", "d"):
            self.machine.refuse_business(message.raw, 3, "Unsupported Message Type", self.now_ns)
            return
        known = message.text(11)
        if message.flag(97) and known in self.seen:
            return
        self.seen.add(known)
        body = sorted(message.body(), key=lambda field: field[0])
        header = [(97, "Y")] if message.flag(97) else []
        self.machine._send(message.msg_type, body, self.now_ns, header)

    def wait(self) -> None:
        self.now_ns += SECOND_NS // 10
        if self.live:
            self.act(self.machine.tick(self.now_ns))


def utc(now_ns: int) -> bytes:
    from fix.messages import utc_timestamp

    return utc_timestamp(now_ns)[:17]


def completed(body: bytes, now_ns: int) -> bytes:
    """Put in times, BodyLength and CheckSum as the definitions' language says."""

    def stamp(match: re.Match[bytes]) -> bytes:
        return utc(now_ns + int(match.group(1) or 0) * SECOND_NS)

    body = re.sub(rb"<TIME([+-]\d+)?>", stamp, body)
    if not body.startswith(b"8="):
        return body
    head, _, rest = body.partition(b"\x01")
    head += b"\x01"
    tail = re.search(rb"\x0110=[^\x01]*\x01$", rest)
    trailer = b""
    if tail is not None:
        trailer = rest[tail.start() + 1 :]
        rest = rest[: tail.start() + 1]
    if not re.search(rb"(^|\x01)9=", rest):
        rest = b"9=%d\x01" % len(rest) + rest
    return head + rest + (trailer or b"10=%03d\x01" % checksum(head + rest))


def fields_of(raw: bytes) -> list[tuple[int, str]]:
    parts = raw.decode("latin-1").rstrip("\x01").split("\x01")
    return [(int(part.split("=")[0]), part.split("=")[1]) for part in parts]


def assert_matches(expected: bytes, got: Message) -> None:
    want, have = fields_of(expected), fields_of(got.raw)
    if b"\x0110=" not in expected:  # some definitions leave length and checksum to the runner
        have = [field for field in have if field[0] != 10]
    if not any(tag == 9 for tag, _ in want):
        have = [field for field in have if field[0] != 9]
    assert [tag for tag, _ in want] == [tag for tag, _ in have], f"expected {want}, got {have}"
    for (tag, wanted), (_, value) in zip(want, have, strict=True):
        if tag in PATTERNS:
            assert re.search(PATTERNS[tag], value), f"tag {tag}: {value}"
        else:
            assert value == wanted, f"tag {tag}: expected {wanted}, got {value} in {got}"


def play(venue: EchoVenue, line: bytes) -> None:
    """One line of a definition."""
    action, rest, connection = line[:1], line[1:], 1
    if re.match(rb"^\d,", rest):
        connection, rest = int(rest[:1]), rest[2:]
    if action == b"i":
        venue.connect(connection) if rest.startswith(b"CONNECT") else venue.disconnect(connection)
    elif action == b"I":
        venue.take(connection, completed(rest, venue.now_ns))
    elif action == b"E":
        for _ in range(400):
            if venue.output[connection] or connection in venue.closed:
                break
            venue.wait()
        assert venue.output[connection], f"nothing came; expected {rest!r}"
        assert_matches(rest, venue.output[connection].pop(0))
    elif action == b"e":
        for _ in range(100):
            if connection in venue.closed:
                break
            venue.wait()
        assert not venue.output[connection], f"expected the end, got {venue.output[connection]}"
        assert connection in venue.closed, "still connected"


@pytest.mark.skipif(not FILES, reason=f"no acceptance definitions at {DIRECTORY} (set AXIOM_FIX_ACCEPTANCE)")
@pytest.mark.parametrize("name", [file.name for file in FILES] or ["absent"])
def test_definition(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name in NEEDS_DICTIONARY:
        request.applymarker(pytest.mark.xfail(reason="needs a dictionary of application messages", strict=True))
    venue = EchoVenue(tmp_path)
    for number, line in enumerate((DIRECTORY / name).read_bytes().split(b"\n"), 1):
        line = line.rstrip(b"\r")
        if line and not line.startswith(b"#"):
            try:
                play(venue, line)
            except AssertionError as error:
                raise AssertionError(f"line {number}: {error}") from error
    assert venue.machine.state is State.DISCONNECTED or venue.live
