"""A client that sends orders hot until it is killed: ``killed.py DIRECTORY PORT``."""

import asyncio
import sys
from pathlib import Path

import numpy as np

from fix.endpoints import CodecHotPath, FixSession, Initiator
from fix.lane import LaneOwner
from fix.store import MessageStore
from fix.testing import initiator_settings
from tests.fix.endpoints.world import Recorder, new_orders, symbols
from tests.fix.lane.step import MOST, STEPPED, Step
from tests.fix.lane.warm import warm


async def main(directory: Path, port: int) -> None:
    warm()
    settings = initiator_settings(recover_by_reset=False)
    hot = CodecHotPath.for_session(settings, symbols(), 1, capacity=512)
    session = FixSession(settings, MessageStore(directory), Recorder(), hot, 1)
    Initiator(session, "127.0.0.1", port).start()
    with Step(thread=True) as step:
        session.bind_lane(step.lanes, 0, step)
        rows = np.ascontiguousarray(new_orders(MOST)).view(np.int64).reshape(-1, 16)
        step.orders[:] = rows
        step.words[35] = 3
        while True:
            session.tend_lane()
            step.serve(session)
            if session.steady and not session.lane_out:
                session.offer_lane()
            asked = int(step.words[8])
            if step.owner is LaneOwner.HOT and asked - int(step.words[STEPPED]) < 64 and asked + 64 < MOST:
                step.words[8] = asked + 64
            await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
