"""What the step says to people: EVENT frames with these codes, from 100 up (denials are 1..99).

``TEXTS`` is the one table of severities and templates; the operations guide's table is generated
from it. A template may use ``{target}`` (the scope's name), ``{id}``, ``{value}``, ``{bound}`` and ``{ref}``.
"""

from enum import IntEnum
from typing import Final, NamedTuple


class EventCode(IntEnum):
    """``EVENT.code`` of everything that is not a risk denial."""

    FILL = 100
    UNKNOWN_FILL = 101
    UNKNOWN_ORDER = 102
    ORDER_REJECTED = 103
    CANCEL_REJECTED = 104
    RECONCILED = 105
    RECON_MISSING = 106
    RECON_MISMATCH = 107
    SESSION_DOWN = 108
    SESSION_UP = 109
    SCOPE_STATE = 110
    KILLED = 111
    REARMED = 112
    ARMED = 113
    DRAINING = 114
    LIMIT_CHANGED = 115
    BAD_VALUE = 116
    UNKNOWN_SYMBOL = 117
    STUCK_ORDER = 118
    ARENA_FULL = 119
    CLOCK_JUMP = 120
    OVERFILL = 121
    ILLEGAL_TRANSITION = 122
    REFUSED_CONTROL = 123
    TRADE_BUST = 124
    CONTROL_DONE = 125
    TRADE_CORRECTED = 126
    BUST_UNPLACED = 127
    SECURITY_STATUS = 128


class EventText(NamedTuple):
    """How an event is shown."""

    severity: str
    template: str


_E = EventCode
TEXTS: Final[dict[EventCode, EventText]] = {
    _E.FILL: EventText("info", "filled {ref} at {value} (theo {bound})"),
    _E.UNKNOWN_FILL: EventText("error", "fill of {ref} for an order we never sent ({id}): instrument halted"),
    _E.UNKNOWN_ORDER: EventText("error", "the venue holds order {id} that we do not know: cancel sent"),
    _E.ORDER_REJECTED: EventText("warning", "order {id} rejected by the venue, reason {ref}"),
    _E.CANCEL_REJECTED: EventText("warning", "cancel or replace {id} rejected by the venue, reason {ref}"),
    _E.RECONCILED: EventText("info", "session reconciled: {ref} open orders agreed, {value} corrected"),
    _E.RECON_MISSING: EventText("warning", "order {id} is not at the venue: taken as canceled"),
    _E.RECON_MISMATCH: EventText("error", "order {id}: venue filled {value}, we know of {bound}: instrument halted"),
    _E.SESSION_DOWN: EventText("warning", "session down: {ref} orders of unknown state"),
    _E.SESSION_UP: EventText("info", "session logged on: asking for the status of all orders"),
    _E.SCOPE_STATE: EventText("warning", "risk state is now {ref}"),
    _E.KILLED: EventText("error", "KILLED: every order cancelled, latched until rearm"),
    _E.REARMED: EventText("warning", "re-armed: halted, resume or arm to trade"),
    _E.ARMED: EventText("info", "armed"),
    _E.DRAINING: EventText("info", "draining: no more quotes, every order cancelled"),
    _E.LIMIT_CHANGED: EventText("info", "limit {ref} set to {value}, was {bound}"),
    _E.BAD_VALUE: EventText("error", "report with an unreadable or negative value for {id}: instrument halted"),
    _E.UNKNOWN_SYMBOL: EventText("error", "message about a symbol we do not know (reference {ref})"),
    _E.STUCK_ORDER: EventText("warning", "order {id} unanswered for {value} s: asking the venue"),
    _E.ARENA_FULL: EventText("error", "no free order slot: raise engine.max_orders"),
    _E.CLOCK_JUMP: EventText("error", "wall clock jumped by {value} s: quotes pulled, firm halted until resume"),
    _E.OVERFILL: EventText("error", "order {id} filled beyond its quantity by {ref}: instrument halted"),
    _E.ILLEGAL_TRANSITION: EventText("error", "order {id}: report of status {ref} after {value}: instrument halted"),
    _E.REFUSED_CONTROL: EventText("warning", "control request refused: {ref}"),
    _E.TRADE_BUST: EventText("warning", "trade of order {id} busted: {ref} at {value} taken back"),
    _E.CONTROL_DONE: EventText("info", "control request {ref} done"),
    _E.TRADE_CORRECTED: EventText("warning", "trade of order {id} corrected: now {ref} at {value}, was at {bound}"),
    _E.BUST_UNPLACED: EventText("error", "bust or correction {ref} of order {id} contradicts us: instrument halted"),
    _E.SECURITY_STATUS: EventText("warning", "the venue says trading status {ref}"),
}
