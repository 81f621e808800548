"""The simulator as a process: start, ready file, clean end, bad input, and kill -9 at random moments."""

import asyncio
import multiprocessing
import os
import random
import signal
import time

import msgspec
import numpy as np
import pytest

from config.schema import AxiomConfig, EngineConfig, FlowConfig, SimulatorConfig, VenueClientConfig, VenueConfig
from market.enums import ExecType, OrderAction, OrdType, Side, TimeInForce
from market.rings import W_HEARTBEAT, W_MARKET_NS, BroadcastRing
from simulator.process import EXIT_CONFIG, EXIT_NOT_FOUND, ReadyFile, run_simulator
from simulator.tradelog import audit_trades, count_account, open_orders, read_log
from tests.ports import free_port
from tests.simulator.venue_client import DEADLINE_S, Trader
from tests.simulator.venue_orders import ALICE, NO_INSTRUMENT, Orders

KILLS = int(os.environ.get("AXIOM_KILLS", "3"))


def profile(directory, port=0, **changes):
    clients = (VenueClientConfig(comp_id="ALICE", cancel_on_disconnect=False),)
    venues = (
        VenueConfig(name="OPT", kind="options", comp_id="OPT", port=port or free_port(), clients=clients),
        VenueConfig(name="EQ", kind="equity", comp_id="EQ", port=free_port(), clients=clients, fee_per_unit_usd=0.001),
    )
    simulator = SimulatorConfig(
        state_dir=str(directory / "sim"), speed=60.0, venues=venues,
        flow=FlowConfig(expiries=2, strikes=5, taker_rate_per_s=100.0), **changes,
    )  # fmt: skip
    engine = EngineConfig(state_dir=str(directory / "engine"), runtime_dir=str(directory / "run"))
    return AxiomConfig(engine=engine, simulator=simulator)


class Simulator:
    """A simulator in a process of its own."""

    def __init__(self, config, venue_names=None):
        self.config = config
        self.ready = config.simulator_dir / "ready.json"
        self.venue_names = venue_names

    async def start(self):
        self.ready.unlink(missing_ok=True)  # left behind by one that was killed
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_run, args=(self.config, self.venue_names))
        self.process.start()
        async with asyncio.timeout(240):  # the first start compiles
            while not self.ready.exists():
                assert self.process.is_alive(), f"the simulator ended with {self.process.exitcode}"
                await asyncio.sleep(0.02)
        return msgspec.json.decode(self.ready.read_bytes())

    async def end(self, number):
        os.kill(self.process.pid, number)
        async with asyncio.timeout(DEADLINE_S):
            while self.process.is_alive():
                await asyncio.sleep(0.01)
        self.process.join()
        return self.process.exitcode


def _run(config, venue_names):
    raise SystemExit(run_simulator(config, venue_names))


async def test_ready_file_says_where_and_sigterm_twice_ends_it_cleanly(tmp_path):
    config = profile(tmp_path)
    simulator = Simulator(config)
    document = await simulator.start()
    assert (document["pid"], document["instruments"]) == (simulator.process.pid, 2 * 5 * 2 + 1)
    assert document["venues"]["EQ"]["port"] == config.simulator.venues[1].port
    ring = BroadcastRing.attach(config.ring_path("OPT"))
    first = int(ring.words[W_MARKET_NS])
    async with asyncio.timeout(DEADLINE_S):
        while int(ring.words[W_MARKET_NS]) == first:
            await asyncio.sleep(0.01)
    assert abs(time.time_ns() - int(ring.words[W_HEARTBEAT])) < 60_000_000_000
    assert ring.cursor >= 20
    ring.close()
    os.kill(simulator.process.pid, signal.SIGTERM)
    assert await simulator.end(signal.SIGTERM) == 0
    assert not simulator.ready.exists()


async def test_one_venue_alone_lists_only_its_own(tmp_path):
    config = profile(tmp_path)
    simulator = Simulator(config, ["EQ"])
    document = await simulator.start()
    assert set(document["venues"]) == {"EQ"}
    assert document["venues"]["EQ"]["instruments"] == 1
    assert not config.ring_path("OPT").exists()
    assert await simulator.end(signal.SIGTERM) == 0


def test_unknown_venue_and_bad_market_file_are_named(tmp_path, capsys):
    assert run_simulator(profile(tmp_path), ["NYSE"]) == EXIT_NOT_FOUND
    assert "NYSE" in capsys.readouterr().err
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 cut off")
    assert run_simulator(profile(tmp_path, market=f"replay:{tmp_path / 'broken.zip'}")) == EXIT_CONFIG
    assert "broken.zip" in capsys.readouterr().err


def test_ready_file_keeps_venues_of_other_living_processes_only(tmp_path):
    file = ReadyFile(tmp_path / "ready.json")
    gone = {"pid": 2**22 + 1, "port": 1}
    (tmp_path / "ready.json").write_bytes(
        msgspec.json.encode({"pid": 1, "venues": {"A": gone, "B": {"pid": os.getppid(), "port": 2}}, "instruments": 3})
    )
    file.add({"C": {"pid": os.getpid(), "port": 3}}, 3)
    assert set(msgspec.json.decode(file.path.read_bytes())["venues"]) == {"B", "C"}
    file.remove(["C"])
    assert set(msgspec.json.decode(file.path.read_bytes())["venues"]) == {"B"}
    file.remove(["B"])
    assert not file.path.exists()


class RandomTrader:
    """Sends a few random orders at a time, so that something is always under way."""

    def __init__(self, trader, instruments, seed):
        self.trader, self.instruments = trader, instruments
        self.random = random.Random(seed)
        self.next_id, self.open = 0, []

    def burst(self):
        if not self.trader.session.logged_on:
            return
        orders = Orders()
        for _ in range(self.random.randrange(1, 20)):
            self.next_id += 1
            roll = self.random.random()
            if roll < 0.6 or not self.open:
                book = self.random.randrange(self.instruments)
                orders.add(
                    0, cl_ord_id=self.next_id, instrument=book, qty=self.random.randrange(1, 9),
                    side=self.random.choice([Side.BUY, Side.SELL]), price_ticks=self.random.randrange(1, 3000),
                    ord_type=OrdType.LIMIT, tif=self.random.choice([TimeInForce.DAY, TimeInForce.IOC]),
                )  # fmt: skip
                self.open.append((self.next_id, book))
            else:
                order, book = self.open.pop(self.random.randrange(len(self.open)))
                orders.add(0, action=OrderAction.CANCEL, cl_ord_id=self.next_id, orig_cl_ord_id=order, instrument=book)
        self.trader.send(orders)


@pytest.mark.slow
async def test_killed_venue_loses_no_report_and_repeats_none(tmp_path):
    """What the client heard over all runs is exactly what the venue logged for it."""
    config = profile(tmp_path)
    simulator = Simulator(config)
    await simulator.start()
    log_path = config.simulator_dir / "OPT" / "trades.log"
    instruments = read_log(log_path).instruments
    trader = Trader(tmp_path / "client", "ALICE", config.simulator.venues[0].port, instruments)
    await trader.log_on()
    source = RandomTrader(trader, len(instruments), seed=3)
    for _ in range(KILLS):
        reached = len(trader.inbox.executions) + source.random.randrange(50, 400)
        async with asyncio.timeout(DEADLINE_S):
            while len(trader.inbox.executions) < reached:
                source.burst()
                await asyncio.sleep(0.001)
        await simulator.end(signal.SIGKILL)
        await simulator.start()
        async with asyncio.timeout(DEADLINE_S):
            while not trader.session.steady:
                await asyncio.sleep(0.01)
        assert open_orders(read_log(log_path), ALICE) == {}

    trader.session.send("AF", [(584, f"{1:016X}"), (585, "7")])
    status = ExecType.ORDER_STATUS
    await trader.inbox.until(lambda: any(row["exec_type"] == status for row in trader.inbox.executions))
    trader.send(Orders().add(0, action=OrderAction.MASS_CANCEL, cl_ord_id=source.next_id + 1, instrument=NO_INSTRUMENT))
    await trader.message("r")
    await trader.leave()
    assert await simulator.end(signal.SIGTERM) == 0

    contents = read_log(log_path)
    assert audit_trades(contents) == []
    logged = contents.executions[contents.executions["session"] == ALICE]
    heard = {int(row["exec_id"]): row for row in (*trader.inbox.executions, *trader.inbox.cancel_rejects)
             if row["exec_type"] != status}  # fmt: skip
    rejects = sum(1 for row in logged if row["exec_type"] in (ExecType.PENDING_CANCEL, ExecType.PENDING_REPLACE))
    assert rejects == len(trader.inbox.cancel_rejects)  # 35=9 has no ExecID: counted instead
    reports = logged[~np.isin(logged["exec_type"], [int(ExecType.PENDING_CANCEL), int(ExecType.PENDING_REPLACE)])]
    assert {int(i) for i in reports["exec_id"]} == set(heard) - {0}
    assert len(reports) > 150 * KILLS

    account = count_account(contents, ALICE)
    position: dict[str, int] = {}
    for row in heard.values():
        if row["exec_type"] == ExecType.TRADE:
            symbol = bytes(instruments[int(row["instrument"])]["symbol"]).decode()
            sign = 1 if row["side"] == Side.BUY else -1
            position[symbol] = position.get(symbol, 0) + sign * int(row["last_qty"])
    assert account.fills > 0
    assert position == account.positions
    assert open_orders(contents, ALICE) == {}
