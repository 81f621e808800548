"""TLS at both ends with real certificates: what is believed, what is refused, and what the error says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fix.endpoints import Acceptor, Doorstep, FixSession, Initiator, TlsSettings
from fix.errors import SettingsError, TlsError
from fix.session import State
from fix.store import MemoryStore
from fix.testing import acceptor_settings, initiator_settings
from tests.fix.endpoints.world import FAST, Recorder, World, new_orders

trustme = pytest.importorskip("trustme", reason="trustme makes the certificates")


class Pki:
    """An authority with certificates for both sides, and a stranger's."""

    def __init__(self, directory: Path) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        self.directory = directory
        self.authority = self.write("ca.pem", authority.cert_pem)
        self.strange_authority = self.write("strange-ca.pem", stranger.cert_pem)
        self.venue = self.write("venue.pem", authority.issue_cert("localhost").private_key_and_cert_chain_pem)
        self.client = self.write("client.pem", authority.issue_cert("client@axiom").private_key_and_cert_chain_pem)
        self.stranger = self.write("stranger.pem", stranger.issue_cert("client@x").private_key_and_cert_chain_pem)

    def write(self, name: str, blob: Any) -> str:
        path = self.directory / name
        blob.write_to_path(str(path))
        return str(path)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


class Pair:
    """An acceptor and an initiator with the TLS that a test wants."""

    def __init__(self) -> None:
        self.venue_handler, self.client_handler = Recorder(), Recorder()
        self.venue = FixSession(acceptor_settings(), MemoryStore(), self.venue_handler)
        self.client = FixSession(initiator_settings(), MemoryStore(), self.client_handler)

    async def open(self, venue: TlsSettings | None, client: TlsSettings | None, host: str = "localhost") -> None:
        self.acceptor = Acceptor([self.venue], tls=venue, doorstep=Doorstep(wait_s=5.0))
        await self.acceptor.start()
        self.initiator = Initiator(self.client, host, self.acceptor.port, FAST, tls=client)
        self.initiator.start()

    async def close(self) -> None:
        await self.initiator.stop()
        await self.acceptor.close()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    await made.close()


async def talk(pair: Pair) -> None:
    """Log on, exchange messages, more than one record's worth, both ways."""
    async with asyncio.timeout(60):
        await asyncio.gather(pair.client.wait_state(State.LOGGED_ON), pair.venue.wait_state(State.LOGGED_ON))
    text = "x" * 40_000
    for _ in range(3):
        pair.client.send("B", [(148, "news"), (33, 1), (58, text)])
        pair.venue.send("B", [(148, "news"), (33, 1), (58, text)])
    await pair.venue_handler.until(lambda: len(pair.venue_handler.messages) == 3)
    await pair.client_handler.until(lambda: len(pair.client_handler.messages) == 3)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_both_sides_show_certificates(pair: Pair, pki: Pki, version: str) -> None:
    await pair.open(
        TlsSettings(certificate=pki.venue, authorities=pki.authority, require_client_certificate=True),
        TlsSettings(certificate=pki.client, authorities=pki.authority, min_version=version),
    )
    await talk(pair)
    assert pair.client.describe()["tls"].startswith("TLSv1.")


def test_the_same_on_uvloop(pki: Pki) -> None:
    async def main() -> None:
        pair = Pair()
        await pair.open(
            TlsSettings(certificate=pki.venue, authorities=pki.authority, require_client_certificate=True),
            TlsSettings(certificate=pki.client, authorities=pki.authority),
        )
        await talk(pair)
        await pair.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


REFUSALS: list[tuple[Callable[[Pki], dict[str, Any]], Callable[[Pki], dict[str, Any]], str, str]] = [
    (lambda p: {}, lambda p: {"authorities": p.strange_authority}, "localhost", "certificate is refused"),
    (lambda p: {}, lambda p: {"authorities": p.authority}, "127.0.0.1", "certificate is refused"),
    (lambda p: {}, lambda p: {"authorities": p.authority, "server_name": "other.host"}, "localhost", "refused"),
    (lambda p: {"min_version": "1.3"}, lambda p: {"authorities": p.authority, "ciphers": "AES"}, "localhost", ""),
]


@pytest.mark.parametrize(("venue", "client", "host", "text"), REFUSALS[:3])
async def test_client_refuses_what_it_does_not_believe(
    pair: Pair, pki: Pki, venue: Any, client: Any, host: str, text: str
) -> None:
    await pair.open(TlsSettings(certificate=pki.venue, **venue(pki)), TlsSettings(**client(pki)), host)
    await pair.until(lambda: pair.initiator.attempts >= 2)
    assert text in pair.initiator.last_error
    assert f"{host}:{pair.acceptor.port}" in pair.initiator.last_error
    assert not pair.client_handler.states, "not one byte of FIX was said"
    await pair.until(lambda: pair.acceptor.drops)


async def test_name_may_differ_where_that_is_said(pair: Pair, pki: Pki) -> None:
    await pair.open(
        TlsSettings(certificate=pki.venue),
        TlsSettings(authorities=pki.authority, verify_hostname=False), "127.0.0.1",
    )  # fmt: skip
    await talk(pair)


@pytest.mark.parametrize("shown", ["", "stranger"])
async def test_venue_refuses_a_client_without_a_certificate_it_believes(pair: Pair, pki: Pki, shown: str) -> None:
    await pair.open(
        TlsSettings(certificate=pki.venue, authorities=pki.authority, require_client_certificate=True),
        TlsSettings(authorities=pki.authority, certificate=getattr(pki, shown) if shown else ""),
    )
    await pair.until(lambda: pair.acceptor.drops and pair.initiator.attempts >= 2)
    assert "certificate" in pair.acceptor.drops[-1]
    assert not pair.venue.connected


async def test_plain_client_at_a_tls_door_and_the_other_way_round(pair: Pair, pki: Pki) -> None:
    await pair.open(TlsSettings(certificate=pki.venue), None)
    await pair.until(lambda: pair.acceptor.drops)
    assert "TLS:" in pair.acceptor.drops[-1]
    other = Pair()
    await other.open(None, TlsSettings(authorities=pki.authority))
    await other.until(lambda: other.initiator.attempts >= 2)
    assert other.initiator.last_error
    assert not other.venue.connected
    await other.close()


async def test_silent_client_does_not_hold_the_door(pki: Pki) -> None:
    acceptor = Acceptor(tls=TlsSettings(certificate=pki.venue), doorstep=Doorstep(wait_s=0.05, max_waiting=2))
    await acceptor.start()
    first = await asyncio.open_connection("127.0.0.1", acceptor.port)
    second = await asyncio.open_connection("127.0.0.1", acceptor.port)
    third = await asyncio.open_connection("127.0.0.1", acceptor.port)
    async with asyncio.timeout(60):
        assert [await reader.read() for reader, _ in (first, second, third)] == [b"", b"", b""]
    assert any("2 connections are waiting" in text for text in acceptor.drops)
    assert acceptor.drop_count == 3
    for _, writer in (first, second, third):
        writer.close()
    await acceptor.close()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"certificate": "/nowhere.pem"}, "no file /nowhere.pem"),
        ({"certificate": "venue", "private_key": "stranger"}, "private_key does not belong to certificate"),
        ({"certificate": "authority", "private_key": "authority"}, "certificate: .* cannot be used"),
        ({"certificate": "venue", "authorities": "empty"}, "authorities: .* cannot be used"),
        ({"certificate": "venue", "ciphers": "NONSENSE"}, "OpenSSL knows none of 'NONSENSE'"),
        ({}, "an acceptor needs tls.certificate"),
    ],
)
def test_files_that_cannot_be_used_are_named(pki: Pki, tmp_path: Path, values: dict[str, str], text: str) -> None:
    (tmp_path / "empty").write_text("")
    files = {"empty": str(tmp_path / "empty")} | vars(pki)
    settings = TlsSettings(**{name: files.get(value, value) for name, value in values.items()})
    with pytest.raises(TlsError, match=text):
        settings.server_context()


def test_contradictions_are_refused_and_passwords_not_shown() -> None:
    for values, text in (
        ({"min_version": "1.0"}, "min_version must be one of 1.2, 1.3"),
        ({"require_client_certificate": True}, "needs authorities"),
        ({"private_key": "x"}, "needs certificate"),
    ):
        with pytest.raises(SettingsError, match=text):
            TlsSettings(**values)  # type: ignore[arg-type]
    assert "hunter2" not in repr(TlsSettings(certificate="c", private_key_password="hunter2"))


async def test_hot_path_runs_over_tls(tmp_path: Path, pki: Pki) -> None:
    world = World(tmp_path)
    world.acceptor = Acceptor([world.venue], tls=TlsSettings(certificate=pki.venue))
    await world.acceptor.start()
    world.initiator = Initiator(
        world.client, "localhost", world.acceptor.port, FAST, tls=TlsSettings(authorities=pki.authority)
    )
    world.initiator.start()
    await world.both(State.LOGGED_ON)
    world.client.send_orders(new_orders(700), 700)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 700)
    await world.close()
