"""``python -m fix.acceptance`` as a process: it says where it listens, ends well, and keeps scripts apart."""

import asyncio
import signal
import sys

import pytest

from fix.acceptance import SESSIONS, echo
from fix.dictionary import load
from fix.messages import parse
from tests.conformance.definition import Definition, completed
from tests.conformance.player import Client, Patience, record
from tests.conformance.scripts import script
from tests.conformance.servers import OURS, ROOT, serving
from tests.conformance.versions import SESSIONS as PLAYED
from tests.conformance.versions import VERSIONS

PATIENCE = Patience(answer_s=5.0, end_s=5.0, silence_s=0.1)
ORDER = """
    +
    > 35=D|34=2|97=Y|11=SAME|{order}
    <
    - 3"""


def own(text: str) -> Definition:
    return script("own", text, VERSIONS["fix44"])


def test_sessions_are_those_that_suites_expect() -> None:
    ours = {(session.target_comp_id, session.begin_string, session.default_appl_ver_id) for session in SESSIONS}
    assert ours == {(session.target, session.begin_string, session.default_appl_ver_id) for session in PLAYED}


def test_echo_sorts_fields_and_keeps_groups_in_the_dictionarys_order() -> None:
    order = (
        "8=FIX.4.4|35=D|34=7|43=Y|49=TW44|50=SUB|52=<TIME>|56=ISLD|122=<TIME>|115=X|627=2|628=A|630=1|628=B|"
        "55=INTC|453=2|448=P|452=1|447=D|448=Q|802=1|523=S|803=1|54=1|11=ID|"
    )
    raw = completed(order.replace("|", "\x01").encode())
    dictionary = load("FIX.4.4")
    header, body = echo(parse(raw), dictionary, dictionary)
    assert header == [
        (50, b"SUB"), (115, b"X"), (627, b"2"), (628, b"A"), (630, b"1"), (628, b"B"),
    ]  # fmt: skip
    assert body == [
        (11, b"ID"), (54, b"1"), (55, b"INTC"), (453, b"2"), (448, b"P"), (447, b"D"), (452, b"1"),
        (448, b"Q"), (802, b"1"), (523, b"S"), (803, b"1"),
    ]  # fmt: skip


async def test_orders_seen_by_one_script_are_unknown_to_the_next_and_bare_connections_do_not_matter() -> None:
    async with serving(OURS, [0, 0]) as server:
        async with asyncio.timeout(60):
            bare = [await Client.open(server.host, server.ports[0]) for _ in range(20)]
            traces = [await record(own(ORDER), server.host, server.ports[0], PATIENCE) for _ in range(2)]
            for client in bare:
                await client.close()
            # The other port is another set of sessions: one session may be on both at once.
            one, other = [
                await record(own("+\n> 35=1|34=2|112=A\n<\nclose"), server.host, port, PATIENCE)
                for port in server.ports
            ]
        server.process.send_signal(signal.SIGTERM)
        assert await server.process.wait() == 0
    assert traces[0].lines() == traces[1].lines()
    assert "11=SAME" in traces[0].lines()[1]
    assert one.lines() == other.lines() and len(one.lines()) == 2


async def test_a_port_that_is_taken_is_an_error_that_says_so() -> None:
    taken = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", OURS, "--port", str(port), cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await process.communicate()
    finally:
        taken.close()
    assert process.returncode == 1
    assert "choose another --port" in stderr.decode()


@pytest.mark.parametrize("session", [session.name for session in PLAYED[:8]])
def test_every_version_has_a_name_like_a_folder_of_definitions(session: str) -> None:
    assert session in VERSIONS and session.startswith("fix")
