"""Cancel-on-disconnect as a client asks for it in its Logon."""

import msgspec
import pytest

from fix.endpoints import FixSession, Initiator, Reconnect
from fix.session import State
from simulator.venue.settings import ClientSettings
from tests.simulator.venue_client import VenueRoom
from tests.simulator.venue_orders import Orders


def wishing(trader, *fields):
    """The trader again, with these fields in its Logon."""
    settings = msgspec.structs.replace(trader.session.settings, logon_fields=fields)
    trader.session = FixSession(settings, trader.store, trader.inbox, hot=trader.session.hot)
    port = trader.initiator.port
    trader.initiator = Initiator(trader.session, "127.0.0.1", port, Reconnect(first_s=0.01, max_s=0.05))
    return trader


@pytest.mark.parametrize(
    ("policy", "wish", "left"),
    [
        (True, (), 0),
        (False, (), 1),
        (True, ((35002, "0"),), 1),
        (False, ((35002, "1"),), 0),
        (False, ((35002, "3"),), 0),
    ],
)
async def test_the_logon_decides_and_else_the_venues_policy(tmp_path, policy, wish, left):
    client = ClientSettings(comp_id="ALICE", cancel_on_disconnect=policy)
    room = await VenueRoom(tmp_path, clients=(client,)).open()
    alice = await wishing(room.trader("ALICE"), *wish).log_on()
    alice.send(Orders().add(0, cl_ord_id=1, price_ticks=80))
    await alice.reports(1)
    await alice.initiator.stop()
    await room.venue.clients[0].session.wait_state(State.DISCONNECTED)
    room.venue.pump()
    assert int(room.venue.core.live_orders) == left
    await room.close()


async def test_a_wish_lasts_as_long_as_its_logon(tmp_path):
    room = await VenueRoom(tmp_path, clients=(ClientSettings(comp_id="ALICE"),)).open()
    alice = await wishing(room.trader("ALICE"), (35002, "0")).log_on()
    assert room.venue.clients[0].cancels_on_disconnect is False
    await alice.initiator.stop()
    await wishing(alice).log_on()
    assert room.venue.clients[0].cancels_on_disconnect is True
    await room.close()


async def test_a_wish_that_is_not_understood_is_refused_by_name(tmp_path):
    room = await VenueRoom(tmp_path, clients=(ClientSettings(comp_id="ALICE"),)).open()
    alice = wishing(room.trader("ALICE"), (35002, "2"))
    alice.initiator.start()
    await alice.inbox.until(lambda: any("35002" in reason for _, reason in alice.inbox.states))
    assert any("must be 0, 1 or 3, was 2" in reason for _, reason in alice.inbox.states)
    await room.close()
