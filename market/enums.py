"""Every code that appears in a record, as an ``IntEnum``; kernels use the members as constants.

Where FIX has a character for a concept (Side, OrdType, TimeInForce, ExecType, OrdStatus), the
member's value is the ASCII code of that character, so that codecs copy it and never translate.
"""

from enum import IntEnum


class FrameKind(IntEnum):
    """What a 128-byte frame is; ``header.kind``. Values below 64 are inputs of the step."""

    NONE = 0  # never written: an untouched journal page reads as NONE
    QUOTE = 1
    TRADE = 2
    EXECUTION = 3
    CANCEL_REJECT = 4
    CONTROL = 5
    TIMER = 6
    THEO = 7  # one series' theo and Greeks, from the Greeks thread
    THEO_COMMIT = 8  # all rows of one refresh have been delivered
    INSTRUMENT = 9
    SESSION = 10
    RUN_START = 11
    SECURITY_STATUS = 12  # the venue halted or resumed an instrument, by message
    ORDER = 64  # an order command leaving the step
    EVENT = 65  # a denial, alert or state change leaving the step
    STAMPS = 66  # when an order's tick went through each stage: telemetry, neither input nor output


class Side(IntEnum):
    """FIX Side(54)."""

    BUY = 49
    SELL = 50


class OrdType(IntEnum):
    """FIX OrdType(40)."""

    MARKET = 49
    LIMIT = 50


class TimeInForce(IntEnum):
    """FIX TimeInForce(59)."""

    DAY = 48
    IOC = 51
    FOK = 52


class ExecType(IntEnum):
    """FIX ExecType(150) of FIX.4.4."""

    NEW = 48
    CANCELED = 52
    REPLACED = 53
    PENDING_CANCEL = 54
    REJECTED = 56
    PENDING_NEW = 65
    EXPIRED = 67
    PENDING_REPLACE = 69
    TRADE = 70
    TRADE_CORRECT = 71
    TRADE_CANCEL = 72
    ORDER_STATUS = 73
    SUSPENDED = 57


class OrdStatus(IntEnum):
    """FIX OrdStatus(39); UNKNOWN (0) is ours: the venue's truth is not known."""

    UNKNOWN = 0
    NEW = 48
    PARTIALLY_FILLED = 49
    FILLED = 50
    CANCELED = 52
    PENDING_CANCEL = 54
    REJECTED = 56
    SUSPENDED = 57
    PENDING_NEW = 65
    EXPIRED = 67
    PENDING_REPLACE = 69


class OrderAction(IntEnum):
    """What an ORDER frame asks of a session."""

    NEW = 1  # 35=D
    CANCEL = 2  # 35=F
    REPLACE = 3  # 35=G
    MASS_CANCEL = 4  # 35=q
    MASS_STATUS = 5  # 35=AF
    QUOTE = 6  # one entry of a 35=i: the frame is a QUOTE_ENTRY
    QUOTE_CANCEL = 7  # 35=Z
    ORDER_STATUS = 8  # 35=H


class SelfTradePrevention(IntEnum):
    """What the matching engine does when an order meets one of the same owner."""

    CANCEL_RESTING = 0
    CANCEL_INCOMING = 1
    DECREMENT_BOTH = 2


class SecurityKind(IntEnum):
    """What an instrument is."""

    EQUITY = 0
    OPTION = 1


class ExerciseStyle(IntEnum):
    """How an option may be exercised."""

    EUROPEAN = 0
    AMERICAN = 1


class Right(IntEnum):
    """FIX PutOrCall(201) spelled as the sign of the payoff."""

    PUT = -1
    CALL = 1
    NONE = 0


class TradingStatus(IntEnum):
    """Of an instrument on its venue; subset of FIX SecurityTradingStatus(326)."""

    UNKNOWN = 0
    HALTED = 2
    OPEN = 17
    CLOSED = 18


class RiskState(IntEnum):
    """Of the engine or of a scope; a larger value allows less."""

    ACTIVE = 0
    REDUCING = 1  # only orders that reduce the position
    HALTED = 2  # cancels only
    KILLED = 3  # latched: only ``rearm`` leaves it


class SessionState(IntEnum):
    """Of a FIX session, as the step knows it."""

    DOWN = 0
    LOGGED_ON = 1  # not yet reconciled: cancels only
    READY = 2


class ControlVerb(IntEnum):
    """What a CONTROL frame asks."""

    LIMIT_SET = 1
    HALT = 2
    RESUME = 3
    KILL = 4
    REARM = 5
    ARM = 6
    DRAIN = 7  # stop quoting, mass cancel
    QUOTING_PARAM = 8
    CLOCK_JUMP = 9
    PULL = 10  # cancel every working order, keep the state


class ScopeKind(IntEnum):
    """What a CONTROL frame or an event applies to."""

    FIRM = 0
    UNDERLYING = 1
    INSTRUMENT = 2
    SESSION = 3


class Origin(IntEnum):
    """Who refused an order."""

    NONE = 0
    STRATEGY = 1
    RISK = 2
    SESSION = 3
    VENUE = 4
