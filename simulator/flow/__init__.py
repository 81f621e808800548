"""Order flow: the participants of a simulated market that trade without FIX.

What lives here: recorded quotes kept in the book (``recording.py`` reads the file, ``replay.py``
plays it), a generated market (``heston.py`` fair values, ``generated.py`` its makers), Hawkes takers
(``takers.py``) and what all makers share (``quoter.py``). What may not: books, sessions, clocks. A
flow is told the time and the tops of the books, and answers with ORDER rows.

Open ``flow.py`` first: it is the interface a venue codes against.
"""

from simulator.errors import FlowError, ReplayDataError
from simulator.flow.flow import Flow
from simulator.flow.generated import GeneratedFlow
from simulator.flow.opening import open_flow, settings_from_config
from simulator.flow.quoter import Quoter
from simulator.flow.recording import Recording, load_replay
from simulator.flow.replay import ReplayFlow
from simulator.flow.settings import FlowSettings, GeneratedSettings, ReplaySettings, TakerSettings
from simulator.flow.takers import OWNER_TAKER, Takers

__all__ = [
    "OWNER_TAKER",
    "Flow",
    "FlowError",
    "FlowSettings",
    "GeneratedFlow",
    "GeneratedSettings",
    "Quoter",
    "Recording",
    "ReplayDataError",
    "ReplayFlow",
    "ReplaySettings",
    "TakerSettings",
    "Takers",
    "load_replay",
    "open_flow",
    "settings_from_config",
]
