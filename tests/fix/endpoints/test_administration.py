"""An operator's hand on a session, its hours, its addresses, and the ticker that moves it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fix.endpoints import (
    Acceptor,
    FixSession,
    HostPolicy,
    Initiator,
    OperatorAction,
    Reconnect,
    ScheduleClosed,
    ScheduleOpened,
)
from fix.endpoints.initiator import Pauses
from fix.endpoints.ticker import STALL_S, Ticker, ticker
from fix.errors import FixError, SettingsError
from fix.schedule import Schedule
from fix.session import SequencesReset, State
from fix.store import MemoryStore
from fix.testing import acceptor_settings, initiator_settings
from tests.fix.endpoints.world import FAST, Recorder, World, new_orders

S = 10**9
HOUR = 3600 * S
NINE = 1_450_947_600 * S  # 2015-12-24 09:00:00 UTC


# ----------------------------------------------------------------------- an operator's hand


async def test_disconnected_by_an_operator_stays_down_until_connected(world: World) -> None:
    attempts = world.initiator.attempts
    world.client.disconnect("maintenance")
    await world.both(State.DISCONNECTED)
    assert world.venue_handler.states[-1] == (State.DISCONNECTED, "maintenance")
    assert (world.client.enabled, world.client.closed_reason()) == (False, "maintenance")
    while world.initiator.last_error != "maintenance":
        await asyncio.sleep(0)
    assert world.initiator.attempts == attempts
    world.client.connect()
    await world.both(State.LOGGED_ON)
    assert world.client.enabled
    actions = [event.action for event in world.client_handler.events if isinstance(event, OperatorAction)]
    assert actions == ["disconnect", "connect"]


async def test_acceptor_refuses_the_peer_of_a_session_that_is_taken_down(world: World) -> None:
    world.venue.disconnect()
    await world.both(State.DISCONNECTED)
    while world.acceptor.drop_count < 2:
        await asyncio.sleep(0.001)
    assert "disconnected by an operator" in world.acceptor.drops[-1]
    world.venue.connect()
    await world.both(State.LOGGED_ON)


async def test_numbers_are_reset_in_place_while_logged_on(world: World) -> None:
    world.client.send_orders(new_orders(5), 5)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 5)
    world.client.reset_sequences()
    await world.client_handler.until(lambda: (world.client.next_in, world.client.next_out) == (2, 2))
    await world.venue_handler.until(lambda: (world.venue.next_in, world.venue.next_out) == (2, 2))
    assert any(isinstance(event, SequencesReset) for event in world.client_handler.events)
    world.client.send_orders(new_orders(1, 9), 1)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 6)


async def test_numbers_are_set_while_down_and_hold_at_the_next_logon(world: World) -> None:
    await world.initiator.stop()
    await world.both(State.DISCONNECTED)
    with pytest.raises(FixError):
        world.client.set_next_out(1)
    world.client.set_next_out(50)
    world.venue.set_next_in(50)
    world.venue.set_next_out(9)
    world.client.set_next_in(9)
    await world.open_client()
    await world.both(State.LOGGED_ON)
    await world.client_handler.until(lambda: world.client.steady and world.venue.steady)
    assert (world.client.next_in, world.client.next_out, world.venue.next_in, world.venue.next_out) == (10, 51, 51, 10)


async def test_sides_whose_numbers_disagree_stand_down_until_a_person_mends_them(world: World) -> None:
    await world.initiator.stop()
    await world.both(State.DISCONNECTED)
    world.venue.set_next_in(50, force=True)
    await world.open_client()
    await world.client_handler.until(lambda: not world.client.enabled)
    assert "too low" in world.client.closed_reason()
    attempts = world.initiator.attempts
    world.client.set_next_out(50)
    assert world.client.enabled
    await world.both(State.LOGGED_ON)
    assert world.initiator.attempts == attempts + 1


@pytest.mark.parametrize(
    "mend", [lambda world: world.venue.set_next_out(50), lambda world: world.client.reset_sequences()]
)
async def test_an_acceptor_whose_store_has_gone_back_lets_nobody_in_until_it_is_mended(
    world: World, mend: Callable[[World], None]
) -> None:
    """By a person on its side, or by a peer that starts the numbers over: each refused logon would use one up."""
    await world.initiator.stop()
    await world.both(State.DISCONNECTED)
    world.client.set_next_in(50)
    await world.open_client()
    await world.venue_handler.until(lambda: not world.venue.enabled)
    assert "too low, expecting 50" in world.venue.closed_reason()
    used = world.venue.next_out
    await world.client_handler.until(lambda: not world.client.enabled)
    world.client.connect()
    async with asyncio.timeout(60):
        while not any("too low, expecting 50" in drop for drop in world.acceptor.drops):
            await asyncio.sleep(0.001)
    assert (world.venue.next_out, world.venue.connected) == (used, False)
    world.client.disconnect("mending")  # it redials: numbers cannot be changed in the middle of a logon
    await world.client.wait_state(State.DISCONNECTED)
    mend(world)
    world.client.connect()
    await world.both(State.LOGGED_ON)
    assert world.venue.enabled and world.client.next_in == world.venue.next_out


async def test_description_is_json_and_holds_no_secret(tmp_path: Path) -> None:
    settings = initiator_settings(username="u", password="hunter2")
    session = FixSession(settings, MemoryStore(), Recorder(), schedule=Schedule(time_zone="Asia/Tokyo"))
    text = json.dumps(session.describe())
    assert "hunter2" not in text
    found = json.loads(text)
    assert (found["name"], found["state"], found["role"], found["enabled"]) == (
        "AXIOM-OPT",
        "disconnected",
        "initiator",
        True,
    )
    assert found["schedule"] == "daily 00:00:00 to 00:00:00 Asia/Tokyo"


# --------------------------------------------------------------------------------- hours


class Clock:
    """UTC that the test moves; messages are stamped with it."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


class Office:
    """A client with office hours and a venue that is always there, on one clock."""

    def __init__(self, **hours: Any) -> None:
        self.clock = Clock(NINE)
        self.schedule = Schedule(**({"start": "08:00:00", "end": "17:00:00"} | hours))
        self.client_handler, self.venue_handler = Recorder(), Recorder()
        self.store = MemoryStore(clock=self.clock)
        self.client = self.make_client()
        self.venue = FixSession(
            acceptor_settings(), MemoryStore(clock=self.clock), self.venue_handler, clock=self.clock
        )

    def make_client(self) -> FixSession:
        return FixSession(
            initiator_settings(), self.store, self.client_handler, clock=self.clock, schedule=self.schedule
        )

    async def open(self) -> None:
        self.acceptor = Acceptor([self.venue])
        await self.acceptor.start()
        self.initiator = Initiator(self.client, "127.0.0.1", self.acceptor.port, FAST)
        self.initiator.start()

    async def at(self, now_ns: int) -> None:
        """Move the clock and let everybody notice."""
        self.clock.now_ns = now_ns
        for session in (self.client, self.venue):
            session.tick(now_ns)
        await asyncio.sleep(0)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    made = Office()
    await made.open()
    yield made
    await made.initiator.stop()
    await made.acceptor.close()


async def test_client_logs_out_at_the_end_and_starts_over_with_the_next_session(office: Office) -> None:
    async with asyncio.timeout(60):
        await office.client.wait_state(State.LOGGED_ON)
        office.client.send("B", [(148, "x")])
        await office.at(NINE + 8 * HOUR)
        await office.venue_handler.until(
            lambda: office.venue_handler.states[-1:] and office.venue_handler.states[-1][0] is State.DISCONNECTED
        )
        assert office.venue_handler.states[-1][1] == "the session's hours are over"
        assert any(isinstance(event, ScheduleClosed) for event in office.client_handler.events)
        assert office.client.next_out > 2, "the numbers are kept until the next session begins"
        while "outside its hours" not in office.initiator.last_error:
            await asyncio.sleep(0)
        office.venue.reset_sequences()  # the venue begins its own day
        await office.at(NINE + 23 * HOUR)
        await office.client.wait_state(State.LOGGED_ON)
    opened = [event.reset for event in office.client_handler.events if isinstance(event, ScheduleOpened)]
    assert opened[-1] is True
    assert (office.client.next_out, office.client.next_in) == (2, 2)


async def test_restart_inside_the_same_session_keeps_the_numbers(office: Office) -> None:
    await office.client.wait_state(State.LOGGED_ON)
    await office.initiator.stop()
    await office.client.wait_state(State.DISCONNECTED)
    before = office.store.next_out
    office.clock.now_ns = NINE + 2 * HOUR
    assert office.make_client().next_out == before > 2
    office.clock.now_ns = NINE + 24 * HOUR
    assert office.make_client().next_out == 1


async def test_acceptor_takes_a_logon_only_inside_its_window() -> None:
    office = Office()
    office.venue = FixSession(
        acceptor_settings(), MemoryStore(clock=office.clock), office.venue_handler, clock=office.clock,
        schedule=Schedule(logon_start="08:30:00", logon_end="08:45:00"),
    )  # fmt: skip
    await office.open()
    async with asyncio.timeout(60):
        while not office.acceptor.drops:
            await asyncio.sleep(0.001)
        assert "outside its logon window" in office.acceptor.drops[-1]
        await office.at(NINE + 24 * HOUR - HOUR // 2)
        await office.client.wait_state(State.LOGGED_ON)
        await office.at(NINE + 24 * HOUR)
        assert office.venue.logged_on, "who is in may stay"
    await office.initiator.stop()
    await office.acceptor.close()


async def test_half_day_ends_early_and_nobody_connects_on_a_holiday() -> None:
    office = Office(half_days=("2015-12-24 11:00:00",), holidays=("2015-12-25",))
    await office.open()
    async with asyncio.timeout(60):
        await office.client.wait_state(State.LOGGED_ON)
        await office.at(NINE + 2 * HOUR - 1)
        assert office.client.logged_on
        await office.at(NINE + 2 * HOUR)
        await office.client.wait_state(State.DISCONNECTED)
        office.venue.reset_sequences()  # its day is over as well
        await office.at(NINE + 24 * HOUR)
        assert "outside its hours" in office.client.closed_reason()
        assert "1 holidays, 1 half days" in office.client.closed_reason()
        assert office.venue.counters.connections == 1
        await office.at(NINE + 48 * HOUR)
        await office.client.wait_state(State.LOGGED_ON)
    assert (office.client.next_out, office.client.next_in) == (2, 2)
    await office.initiator.stop()
    await office.acceptor.close()


async def test_acceptor_is_closed_on_a_holiday_inside_its_week_and_goes_on_with_its_numbers() -> None:
    office = Office(start="00:00:00", end="00:00:00")
    store = MemoryStore(clock=office.clock)
    week = Schedule(start="18:00:00", end="17:00:00", start_day="sun", end_day="sat", holidays=("2015-12-25",))
    office.venue = FixSession(acceptor_settings(), store, office.venue_handler, clock=office.clock, schedule=week)
    office.schedule = Schedule(non_stop=True)
    office.client = office.make_client()
    await office.open()
    async with asyncio.timeout(60):
        await office.client.wait_state(State.LOGGED_ON)
        office.client.send("B", [(148, "x")])
        await office.at(NINE + 15 * HOUR)
        await office.client.wait_state(State.DISCONNECTED)
        while not any("outside its hours" in drop for drop in office.acceptor.drops):
            await asyncio.sleep(0.001)
        used = office.client.next_out
        await office.at(NINE + 39 * HOUR)
        await office.client.wait_state(State.LOGGED_ON)
        while office.venue.next_in != office.client.next_out:  # Logons that were dropped have left a gap
            await asyncio.sleep(0.001)
    assert office.client.next_out > used > 2
    assert [message[0] for message in office.venue_handler.messages] == ["B"], "across the holiday, once"
    assert store.resets == 0
    await office.initiator.stop()
    await office.acceptor.close()


# ----------------------------------------------------------------------------- addresses


async def test_next_address_is_tried_at_once_and_the_first_again_afterwards(venue_only: World) -> None:
    dead = Acceptor()
    await dead.start()
    await dead.close()
    hosts = (("127.0.0.1", venue_only.port),)
    slow = Reconnect(first_s=30.0, max_s=30.0)
    venue_only.initiator = Initiator(venue_only.client, "127.0.0.1", dead.port, slow, hosts=hosts)
    venue_only.initiator.start()
    await venue_only.both(State.LOGGED_ON)
    assert venue_only.initiator.attempts == 2
    assert venue_only.initiator.address == hosts[0]


@pytest.mark.parametrize(
    ("policy", "turns"),
    [(HostPolicy.PRIORITY, [0, 1, 2, 0, 0]), (HostPolicy.ROUND_ROBIN, [0, 1, 2, 0, 1])],
)
def test_order_of_addresses(policy: HostPolicy, turns: list[int]) -> None:
    session = FixSession(initiator_settings(), MemoryStore(), Recorder())
    initiator = Initiator(session, "a", 1, hosts=[("b", 2), ("c", 3)], host_policy=policy)
    seen, pauses = [initiator._turn], []
    for logged_on in (False, False, False, True):
        pauses.append(initiator._choose_next(logged_on=logged_on))
        seen.append(initiator._turn)
    assert seen == turns
    assert pauses == [False, False, True, True], "a pause only after all have failed, and after a session"


def test_pauses_grow_and_jitter_takes_a_known_share() -> None:
    plain = Pauses(Reconnect(first_s=1.0, factor=2.0, max_s=5.0), "x")
    assert [plain.take() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    plain.restart()
    assert plain.take() == 1.0
    policy = Reconnect(first_s=8.0, factor=1.0, max_s=8.0, jitter=0.5)
    pauses = Pauses(policy, "x")
    found = [pauses.take() for _ in range(200)]
    assert 4.0 <= min(found) < 4.5 and 7.5 < max(found) <= 8.0
    assert found[:3] != [Pauses(policy, "y").take() for _ in range(3)], "sessions do not redial in step"
    again = Pauses(policy, "x")
    assert [again.take() for _ in range(200)] == found
    with pytest.raises(SettingsError, match="jitter must be"):
        Reconnect(jitter=1.5)


async def test_template_makes_the_session_of_a_stranger() -> None:
    made: list[FixSession] = []

    def factory(logon: Any) -> FixSession | None:
        if logon.text(49) != "AXIOM":
            return None
        made.append(FixSession(acceptor_settings(), MemoryStore(), Recorder()))
        return made[-1]

    acceptor = Acceptor(session_factory=factory)
    await acceptor.start()
    known, unknown = (
        FixSession(initiator_settings(sender_comp_id=name), MemoryStore(), Recorder()) for name in ("AXIOM", "NOBODY")
    )
    initiators = [Initiator(session, "127.0.0.1", acceptor.port, FAST) for session in (known, unknown)]
    for initiator in initiators:
        initiator.start()
    async with asyncio.timeout(60):
        await known.wait_state(State.LOGGED_ON)
        while not acceptor.drops:
            await asyncio.sleep(0.001)
    assert "'NOBODY'" in acceptor.drops[-1]
    assert acceptor.sessions == made
    acceptor.remove(made[0])
    await known.wait_state(State.DISCONNECTED)
    assert not acceptor.sessions
    for initiator in initiators:
        await initiator.stop()
    await acceptor.close()


# ---------------------------------------------------------------------------- the ticker


class Ticked:
    """Notes what the ticker says to it."""

    def __init__(self) -> None:
        self.ticks = 0
        self.stalls: list[int] = []
        self.jumps: list[int] = []

    def tick(self, now_ns: int) -> None:
        self.ticks += 1

    def stalled(self, late_ns: int) -> None:
        self.stalls.append(late_ns)

    def clock_jumped(self, delta_ns: int) -> None:
        self.jumps.append(delta_ns)


async def test_every_session_has_its_turn_and_turns_stay_short() -> None:
    made = Ticker(asyncio.get_running_loop())
    sessions = [Ticked() for _ in range(1000)]
    for session in sessions:
        made.add(session)
    turns = []
    for _ in range(16):
        before = sum(session.ticks for session in sessions)
        made._due_ns = 1 << 62
        made._turn()
        turns.append(sum(session.ticks for session in sessions) - before)
    assert {session.ticks for session in sessions} == {1}
    assert max(turns) <= 63
    for session in sessions:
        made.remove(session)
    assert made._timer is None


async def test_frozen_process_tells_everybody_before_it_ticks_anybody() -> None:
    made, session = Ticker(asyncio.get_running_loop()), Ticked()
    made.add(session)
    made._due_ns -= int(STALL_S * S) + 10 * S
    made._turn()
    assert session.ticks == 0
    assert session.stalls and session.stalls[0] > STALL_S * S
    made._offset_ns -= S
    made._due_ns = 1 << 62
    made._turn()
    assert session.ticks == 1
    assert abs(session.jumps[0] - S) < S // 4
    made.remove(session)


async def test_our_own_stall_is_not_the_peers_silence(world: World) -> None:
    """Both clocks move by minutes while nobody runs: whoever was not running cannot call the other silent."""
    for session in (world.client, world.venue):
        session.machine.clock_jumped(-300 * S)  # as if 300 s had passed
        session.stalled(300 * S)
    for session in (world.client, world.venue):
        session.tick(0)
    assert world.client.logged_on and world.venue.logged_on
    assert world.client.counters.stalls == 1


async def test_sessions_leave_the_ticker_when_their_line_goes(world: World) -> None:
    shared = ticker()
    assert {world.client, world.venue} <= set(shared._sessions)  # type: ignore[arg-type]
    await world.initiator.stop()
    await world.both(State.DISCONNECTED)
    assert world.client not in shared._sessions
