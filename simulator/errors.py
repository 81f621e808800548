"""What can go wrong in the simulator, and whose move it is.

::

    SimulatorError
    ├── FlowError           the order flow was asked for what it cannot do (settings, time going back)
    │   └── ReplayDataError a market data file cannot be used: get another file
    ├── TradeLogError       the trade log cannot be written or does not fit: the venue stops
    ├── VenueStateError     the state directory belongs to another market: choose another one
    ├── OperatorError       an operator asked for what cannot be; nothing was changed
    │   ├── CorrectionError     of a trade: busted already, out of range
    │   │   └── UnknownTradeError
    │   └── UnknownSymbolError
    ├── ControlSocketError  another simulator has the control socket, or the directory is not ours
    └── VenueSettingsError  a venue cannot be built as configured: mend the configuration

Every text names the value, what was expected and the mend. What a *client* does wrong is not an
exception: it is answered with a FIX reject.
"""


class SimulatorError(Exception):
    """Base of everything that the simulator raises on purpose."""


class FlowError(SimulatorError):
    """The order flow cannot be made as configured, or was driven wrongly (time went back)."""


class ReplayDataError(FlowError):
    """A recorded market data file is truncated, empty or of another format.

    The text names the file, what was found in it and what would be right.
    """


class TradeLogError(SimulatorError):
    """The trade log is damaged beyond its tail, or could not be written.

    Raised by an append (full disk): the venue must not send a report that it could not log, so it
    halts. Make room, start again.
    """


class OperatorError(SimulatorError):
    """What an operator asked of a venue cannot be; nothing was changed. The text says why."""


class CorrectionError(OperatorError):
    """A trade cannot be busted or corrected as asked."""


class UnknownTradeError(CorrectionError):
    """No trade has the ExecID."""


class UnknownSymbolError(OperatorError):
    """A venue does not list the symbol."""


class ControlSocketError(SimulatorError):
    """The control socket cannot be opened: another simulator has it, or the directory is not ours."""


class VenueStateError(SimulatorError):
    """The state directory holds the log of another set of instruments.

    Positions and orders are recorded by instrument number: mixing two markets in one log would
    attribute trades to the wrong series. Use another state directory or remove the old one.
    """


class VenueSettingsError(SimulatorError):
    """A venue's settings contradict each other or name something that does not exist."""
