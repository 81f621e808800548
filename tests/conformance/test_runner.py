"""The runner itself: the language byte by byte, and that it notices what a wrong acceptor does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from tests.conformance.definition import (
    Action,
    Definition,
    DefinitionError,
    checksum,
    completed,
    difference,
    framed,
    steps,
    timed,
)
from tests.conformance.player import Mismatch, Patience, Trace, play, record_together, timeless
from tests.conformance.situations import situations
from tests.conformance.transform import transformed
from tests.conformance.versions import VERSIONS

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)


def soh(text: str) -> bytes:
    return text.replace("|", "\x01").encode()


def test_lines_are_steps_and_connections_are_numbered() -> None:
    text = b"# comment\n\niCONNECT\ni2,CONNECT\nI8=FIX.4.4\x01\nE2,8=FIX.4.4\x01\ne2,DISCONNECT\r\niDISCONNECT"
    assert [(step.action, step.connection, step.body) for step in steps(text)] == [
        (Action.CONNECT, 1, b""),
        (Action.CONNECT, 2, b""),
        (Action.SEND, 1, b"8=FIX.4.4\x01"),
        (Action.EXPECT, 2, b"8=FIX.4.4\x01"),
        (Action.EXPECT_DISCONNECT, 2, b""),
        (Action.DISCONNECT, 1, b""),
    ]


@pytest.mark.parametrize("line", [b"eCONNECT", b"iSLEEP", b"xCONNECT", b"i12,CONNECT"])
def test_a_line_of_no_known_form_is_an_error_that_names_it(line: bytes) -> None:
    with pytest.raises(DefinitionError, match=r"x\.def:2"):
        list(steps(b"iCONNECT\n" + line, "x.def"))


def test_times_are_utc_in_whole_seconds_with_offsets() -> None:
    assert timed(b"<TIME>,<TIME+10>,<TIME-121>", NOW) == b"20260304-05:06:07,20260304-05:06:17,20260304-05:04:06"


def test_length_and_checksum_are_put_in_where_they_are_missing() -> None:
    message = framed(soh("8=FIX.4.4|35=0|34=2|"))
    assert message.startswith(soh("8=FIX.4.4|9=10|35=0|34=2|10="))
    assert int(message[-4:-1]) == checksum(message[:-7])


def test_given_length_and_checksum_are_left_wrong() -> None:
    assert framed(soh("8=FIX.4.4|9=999|35=0|10=000|")) == soh("8=FIX.4.4|9=999|35=0|10=000|")
    assert framed(soh("8=FIX.4.4|35=0|10=256|")) == soh("8=FIX.4.4|9=5|35=0|10=256|")


def test_a_tag_that_ends_in_nine_is_not_a_length() -> None:
    assert b"\x019=" in framed(soh("8=FIX.4.4|35=0|49=X|"))


def test_what_does_not_begin_with_begin_string_is_sent_verbatim() -> None:
    assert completed(soh("35=0|8=FIX.4.4|9=29|"), NOW) == soh("35=0|8=FIX.4.4|9=29|")


@pytest.mark.parametrize(
    ("received", "fault"),
    [
        ("8=F|9=5|52=20260304-05:06:07.123|10=001|", ""),
        ("8=F|9=5|52=20260304-05:06:07|10=999|", ""),
        ("8=F|9=6|52=20260304-05:06:07|10=001|", "tag 9"),
        ("8=F|9=5|52=now|10=001|", "tag 52"),
        ("8=F|52=20260304-05:06:07|9=5|10=001|", "fields 8 52 9 10"),
        ("8=F|9=5|52=20260304-05:06:07|58=x|10=001|", "fields"),
        ("8=F|9=5|52=20260304-05:06:07|10=1|", "tag 10"),
    ],
)
def test_comparison(received: str, fault: str) -> None:
    found = difference(soh("8=F|9=5|52=00000000-00:00:00.000|10=0|"), soh(received))
    assert found.startswith(fault) and bool(found) is bool(fault)


def test_a_value_ends_at_a_second_equals_sign() -> None:
    assert not difference(soh("58=a=b|"), soh("58=a=c|"))
    assert difference(soh("58=a|"), soh("58=b|"))


def test_a_recorded_message_keeps_lengths_of_times_and_shows_a_wrong_checksum() -> None:
    message = framed(soh("8=F|52=20260304-05:06:07.123|122=20260304-05:06:07|"))
    assert timeless(message) == "8=F|9=47|52=time.3|122=time|10=ok|"
    assert timeless(message[:-4] + b"000\x01").endswith("10=000|")


def test_scripts_of_old_versions_ask_for_everything_by_999999() -> None:
    one = Definition("x", tuple(steps(soh("I8=FIX.4.4|35=2|34=2|49=TW44|52=<TIME>|56=ISLD|7=1|16=0|"))))
    sent = transformed(one, VERSIONS["fix41"], fields=True).steps[0].body
    assert sent == soh("8=FIX.4.1|35=2|34=2|49=TW41|52=<TIME>|56=ISLD|7=1|16=999999|")


@pytest.mark.parametrize("version", ["fix40", "fix44", "fix50sp2"])
def test_a_seed_gives_one_set_of_situations_and_another_seed_others(version: str) -> None:
    session = VERSIONS[version]
    first, again = (list(situations(None, session, 2)) for _ in range(2))
    assert {one.name.rpartition("/")[2] for one in first} == {
        f"{kind}_{seed:05d}" for kind in ("bytes", "sessions", "endings") for seed in (0, 1)
    }
    for one, other in zip(first, again, strict=True):
        sent = [completed(step.body, NOW) for step in one.steps]
        assert sent == [completed(step.body, NOW) for step in other.steps]
        damaged = [(step.damage or bytes)(raw) for step, raw in zip(one.steps, sent, strict=True)]
        assert damaged == [(step.damage or bytes)(raw) for step, raw in zip(other.steps, sent, strict=True)]
        assert (damaged == sent) is ("/bytes_" not in one.name)
    assert not {one.steps for one in first} & {one.steps for one in situations(None, session, 2, first=2)}


# ------------------------------------------------------------------ against wrong acceptors

Answer = Callable[[bytes], bytes]


@asynccontextmanager
async def acceptor(answer: Answer) -> AsyncIterator[int]:
    """A server that answers each segment by ``answer``; nothing closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            reply = answer(data)
            if not reply:
                break
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def script(text: str) -> Definition:
    return Definition("wrong", tuple(steps(text.replace("|", "\x01").encode())))


HEARTBEAT = framed(soh("8=FIX.4.4|35=0|34=1|"))
CONVERSATION = "iCONNECT\nI8=FIX.4.4|35=1|\nE8=FIX.4.4|35=0|34=1|\neDISCONNECT"


async def test_a_right_acceptor_passes() -> None:
    said = [HEARTBEAT]
    async with acceptor(lambda data: said.pop() if b"35=1" in data else b"") as port:
        ending = CONVERSATION.replace("eDISCONNECT", "I8=FIX.4.4|35=5|\neDISCONNECT")
        await play(script(ending), "127.0.0.1", port)


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (framed(soh("8=FIX.4.4|35=0|34=2|")), "tag 34: '2' instead of '1'"),
        (framed(soh("8=FIX.4.4|34=1|35=0|")), "fields 8 9 34 35 10"),
        (HEARTBEAT + HEARTBEAT, "expected the end of the connection, received 8=FIX.4.4"),
        (b"", "the connection ended"),
    ],
)
async def test_a_wrong_acceptor_is_noticed_with_line_and_bytes(reply: bytes, fault: str) -> None:
    async with acceptor(lambda data: reply) as port:
        with pytest.raises(Mismatch, match=r"wrong\.def:[34]: ") as error:
            await play(script(CONVERSATION), "127.0.0.1", port)
    assert fault in str(error.value)


@pytest.mark.parametrize(("answers", "lag_s"), [(True, 60.0), (False, 0.05)])
async def test_late_acceptor_is_waited_for_and_one_that_says_less_is_found_out(answers: bool, lag_s: float) -> None:
    """The second one says nothing until the patience for an answer is over: only the difference keeps it waited for."""
    answer, asked = framed(soh("8=FIX.4.4|35=A|34=1|")), asyncio.Event()

    async def prompt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        await writer.drain()
        await reader.read()
        writer.close()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        if answers:
            asyncio.get_running_loop().call_later(2.2, writer.write, answer)
        asked.set()
        await reader.read()
        writer.close()

    script = Definition("late", tuple(steps(soh("iCONNECT\nI8=FIX.4.4|35=A|34=1|\nE35=A|\niDISCONNECT\n"))))
    servers = [await asyncio.start_server(one, "127.0.0.1", 0) for one in (prompt, late)]
    addresses = [("127.0.0.1", int(server.sockets[0].getsockname()[1])) for server in servers]
    patience = Patience(answer_s=2.0, end_s=0.0, silence_s=0.0, lag_s=lag_s)
    first, second = await record_together(script, addresses, patience)
    assert isinstance(first, Trace) and isinstance(second, Trace) and asked.is_set()
    assert len(first.lines()) == 1
    assert (first.lines() == second.lines()) is answers
    for server in servers:
        server.close()
