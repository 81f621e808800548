"""A started venue compiles nothing more: the first order does not wait for a compiler."""

import gc
import subprocess
import sys
from pathlib import Path

from market.enums import OrderAction, Side
from market.jit import JIT_ENABLED

ROOT = Path(__file__).resolve().parents[2]


def specialisations():
    """Every compiled (or loaded) kernel version of this process, by name."""
    from numba.core.dispatcher import Dispatcher

    return {
        (entry.py_func.__module__, entry.py_func.__qualname__, str(signature))
        for entry in gc.get_objects()
        if isinstance(entry, Dispatcher)
        for signature in entry.signatures
    }


async def main(directory):
    from tests.simulator.venue_client import VenueRoom
    from tests.simulator.venue_orders import MAKER, NO_INSTRUMENT, Orders

    room = await VenueRoom(directory).open()
    trader = room.trader("ALICE")
    trader.session.hot.encode_orders(Orders().buffer.rows, 0, 0, 1, 1)  # the client's own kernel
    before = specialisations()
    await trader.log_on()
    room.flow(Orders().add(MAKER, side=Side.SELL, instrument=1, qty=4))
    trader.send(Orders().add(0, instrument=1))
    await trader.reports(2)
    symbol = bytes(room.instruments[1]["symbol"]).decode()
    wanted = [(262, "MD1"), (263, 1), (264, 1), (265, 0), (267, 2), (269, 0), (269, 1), (146, 1), (55, symbol)]
    trader.session.send("V", wanted)
    await trader.inbox.until(lambda: trader.inbox.quotes)
    trader.session.send("AF", [(584, f"{1:016X}"), (585, "7")])
    await trader.reports(3)
    trader.send(Orders().add(0, action=OrderAction.MASS_CANCEL, cl_ord_id=99, instrument=NO_INSTRUMENT))
    await trader.message("r")
    room.venue.step(1, 1)
    late = specialisations() - before
    await room.close()
    sys.stdout.write("".join(f"LATE {module}.{name}{signature}\n" for module, name, signature in late))
    sys.stdout.write(f"CHECKED {len(before)}\n")


def test_first_order_of_a_started_venue_compiles_nothing(tmp_path):
    if not JIT_ENABLED:
        return  # nothing is ever compiled
    code = "import asyncio, pathlib, sys; from tests.simulator.test_venue_warm import main; "
    code += "asyncio.run(main(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "CHECKED" in done.stdout, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("LATE")] == []
