"""Orders per second that one venue process carries over FIX, and what each costs it in CPU time.

Starts the simulator (generated market, one shared process for both venues) and drives its options
venue from a second process's FIX session: new orders, replaces and cancels in batches, first at a
fixed rate, then as fast as a window of unanswered orders allows. Costs are CPU time of the venue
process, which other load on the machine does not change.

    python -m benchmarks.venue_orders [--rate 10000] [--seconds 5]
"""

import argparse
import asyncio
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import uvloop

from config.schema import AxiomConfig, EngineConfig, SimulatorConfig, VenueClientConfig, VenueConfig
from fix.codec import SymbolTable
from fix.endpoints import CodecHotPath, FixSession, Initiator
from fix.session import Role, SessionSettings, State
from fix.store import MessageStore
from market import records
from market.enums import FrameKind, OrderAction, OrdType, Side, TimeInForce
from simulator.process import run_simulator
from simulator.tradelog import read_log

BATCH = 50
WINDOW = 2000


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Pump:
    """Counts reports; makes batches of which a half are new orders, a quarter replaces, a quarter cancels."""

    def __init__(self, symbols: int) -> None:
        self.heard = 0
        self.sent = 0
        self._symbols = symbols
        self._rows = records.table(records.ORDER, BATCH)
        self._open: list[tuple[int, int]] = []
        self._rng = np.random.default_rng(1)

    def on_frames(self, _session, _frames, count) -> None:
        """Reports: only their number matters here."""
        self.heard += count

    def on_message(self, _session, msg_type, raw, poss_dup) -> None:
        """Anything but reports would make the count wrong."""
        raise RuntimeError(f"unexpected {msg_type} {raw!r} {poss_dup}")

    def on_state(self, _session, _state, _reason) -> None:
        """Logged on or gone: the driver waits for it itself."""

    def batch(self):
        """Fill the next ORDER rows."""
        rows = self._rows
        rows["kind"], rows["side"], rows["ord_type"], rows["tif"] = (
            FrameKind.ORDER, Side.BUY, OrdType.LIMIT, TimeInForce.DAY,
        )  # fmt: skip
        for k in range(BATCH):
            self.sent += 1
            row = rows[k]
            row["cl_ord_id"], row["qty"], row["orig_cl_ord_id"] = self.sent, 5, 0
            row["price_ticks"] = 1 + self.sent % 3
            if k % 2 == 0 or not self._open:
                row["action"], row["instrument"] = OrderAction.NEW, self._rng.integers(self._symbols)
                self._open.append((self.sent, int(row["instrument"])))
                continue
            order, instrument = self._open.pop(0)
            row["orig_cl_ord_id"], row["instrument"] = order, instrument
            row["action"] = OrderAction.REPLACE if k % 4 == 1 else OrderAction.CANCEL
            if k % 4 == 1:
                self._open.append((self.sent, instrument))
        return rows


async def drive(directory: Path, port: int, pid: int, rate: int, seconds: float) -> None:
    instruments = read_log(directory / "sim" / "OPT" / "trades.log").instruments
    symbols = SymbolTable(len(instruments))
    for book, row in enumerate(instruments):
        symbols.add(bytes(row["symbol"]).decode(), book)
    pump = Pump(len(instruments))
    settings = SessionSettings(sender_comp_id="AXIOM", target_comp_id="OPT", role=Role.INITIATOR)
    hot = CodecHotPath("FIX.4.4", "AXIOM", "OPT", symbols, Role.INITIATOR)
    session = FixSession(settings, MessageStore(directory / "client"), pump, hot=hot)
    initiator = Initiator(session, "127.0.0.1", port)
    initiator.start()
    await session.wait_state(State.LOGGED_ON)

    async def run(name: str, limit: float) -> None:
        first, start, cpu = pump.sent, time.monotonic(), cpu_seconds(pid)
        while time.monotonic() - start < seconds:
            if pump.sent - pump.heard < WINDOW and pump.sent - first < (time.monotonic() - start) * limit:
                session.send_orders(pump.batch(), BATCH)
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(0.001)
        async with asyncio.timeout(30):
            while pump.heard < pump.sent:
                await asyncio.sleep(0.001)
        wall, spent, orders = time.monotonic() - start, cpu_seconds(pid) - cpu, pump.sent - first
        print(f"{name:<22}{orders / wall:>12,.0f}{100 * spent / wall:>12.1f}{1e6 * spent / orders:>14.1f}")

    cpu, start = cpu_seconds(pid), time.monotonic()
    await asyncio.sleep(2)
    idle = (cpu_seconds(pid) - cpu) / (time.monotonic() - start)
    print(f"{'':<22}{'orders/s':>12}{'venue CPU %':>12}{'CPU us/order':>14}")
    print(f"{'flow alone':<22}{'':>12}{100 * idle:>12.1f}")
    await run("warm-up", rate)
    await run(f"paced {rate:,}/s", rate)
    await run(f"window of {WINDOW:,}", float("inf"))
    await initiator.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        clients = (VenueClientConfig(comp_id="AXIOM"),)
        config = AxiomConfig(
            engine=EngineConfig(state_dir=str(directory / "engine"), runtime_dir=str(directory / "run")),
            simulator=SimulatorConfig(
                state_dir=str(directory / "sim"), speed=60.0,
                venues=(
                    VenueConfig(name="OPT", kind="options", comp_id="OPT", port=41_871, clients=clients),
                    VenueConfig(name="EQ", kind="equity", comp_id="EQ", port=41_872, clients=clients),
                ),
            ),
        )  # fmt: skip
        venue = multiprocessing.get_context("spawn").Process(target=run_simulator, args=(config,))
        venue.start()
        ready = directory / "sim" / "ready.json"
        while not ready.exists():
            if not venue.is_alive():
                raise SystemExit("the simulator did not start")
            time.sleep(0.05)
        port = msgspec.json.decode(ready.read_bytes())["venues"]["OPT"]["port"]
        uvloop.run(drive(directory, port, venue.pid or 0, options.rate, options.seconds))
        os.kill(venue.pid or 0, signal.SIGTERM)
        venue.join()


if __name__ == "__main__":
    main()
