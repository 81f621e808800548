"""All kernels that a hot session needs, compiled or loaded."""

import numpy as np

from fix.endpoints import CodecHotPath
from fix.lane import lane_wait
from fix.testing import START_NS, initiator_settings
from tests.fix.endpoints.world import new_orders, reports, symbols
from tests.fix.lane.step import Step
from tests.fix.lane.world import Far


def warm() -> None:
    """Call each once: a test must not wait for a compiler with a peer at the other end."""
    table = symbols()
    hot = CodecHotPath.for_session(initiator_settings(), table, 1, capacity=512)
    raw = np.frombuffer(bytearray(Far(table).report(1) + bytes(64)), np.uint8)
    assert hot.decode(raw, 0, len(raw) - 64, 1, START_NS).frames == 1
    hot.encode_orders(new_orders(1), 0, 1, 1, START_NS)
    hot.encode_executions(reports(1), 0, 1, 1, START_NS)
    step = Step(thread=False)
    step.turn()
    step.wait_returned(step.lanes.state, 0)
    step.lanes.wish(0)
    lane_wait(step.lanes.state, 0, 1)
    with Step(thread=True):
        pass
