"""Events of the step, for people: structured log lines, the last alerts, fills and denial counts."""

import time
from collections import deque
from typing import Any

import structlog

from engine.events import TEXTS, EventCode
from market.enums import RiskState, ScopeKind
from market.ids import to_wire
from risk.denials import Denial, denial_text
from risk.limits import LIMITS, Limit

_SHOWN = 20
_FILLS = 10
_REPEAT_S = 1.0
_HALTING = (
    EventCode.UNKNOWN_FILL,
    EventCode.RECON_MISMATCH,
    EventCode.OVERFILL,
    EventCode.BAD_VALUE,
    EventCode.ILLEGAL_TRANSITION,
    EventCode.TRADE_BUST,
    EventCode.CLOCK_JUMP,
)


class Alerts:
    """Collects what the step said; ``name_of(scope, target)`` turns numbers into names."""

    def __init__(self, name_of: Any) -> None:
        self.recent: deque[dict[str, Any]] = deque(maxlen=_SHOWN)
        self.fills: deque[dict[str, Any]] = deque(maxlen=_FILLS)
        self.denials: dict[int, tuple[int, str]] = {}
        self.state_reasons: dict[tuple[int, int], str] = {}
        self._name_of = name_of
        self._log = structlog.get_logger()
        self._last: dict[str, float] = {}

    def say(self, severity: str, text: str, **fields: Any) -> None:
        """Log and keep one alert; the same text is logged at most once a second."""
        now = time.monotonic()
        if now - self._last.get(text, -_REPEAT_S) < _REPEAT_S:
            return
        if len(self._last) > 1000:
            self._last.clear()
        self._last[text] = now
        getattr(self._log, severity)(text, **fields)
        self.recent.append({"ts_ns": time.time_ns(), "severity": severity, "text": text})

    def take(self, event: Any) -> None:
        """One EVENT row."""
        code = int(event["code"])
        if code < EventCode.FILL:
            self._denial(code, event)
        elif code == EventCode.FILL:
            self._fill(event)
        elif code == EventCode.SCOPE_STATE:
            self._state(event)
        elif code != EventCode.CONTROL_DONE:
            self.say(TEXTS[EventCode(code)].severity, self._text(EventCode(code), event))

    def _name(self, event: Any) -> str:
        return str(self._name_of(int(event["scope"]), int(event["target"])))

    def _text(self, code: EventCode, event: Any) -> str:
        ref: Any = int(event["ref"])
        if code == EventCode.LIMIT_CHANGED:
            ref = Limit(ref).name.lower() if ref in LIMITS else ref
        elif code == EventCode.UNKNOWN_FILL:
            ref = f"{'sell' if ref & 1 else 'buy'} {ref >> 1} at {float(event['value']):g}"
        text = TEXTS[code].template.format(
            id=to_wire(int(event["cl_ord_id"])),
            value=f"{float(event['value']):g}",
            bound=f"{float(event['bound']):g}",
            ref=ref,
        )
        firm = int(event["scope"]) == ScopeKind.FIRM
        scope = (int(event["scope"]), int(event["target"]))
        if code in _HALTING:
            self.state_reasons[scope] = f"{code.name}: {text}"
        elif code == EventCode.ARMED:
            self.state_reasons.pop(scope, None)
        return text if firm else f"{self._name(event)}: {text}"

    def _state(self, event: Any) -> None:
        state = RiskState(int(event["ref"]))
        severity = "info" if state == RiskState.ACTIVE else "warning"
        if state == RiskState.ACTIVE:
            self.state_reasons.pop((int(event["scope"]), int(event["target"])), None)
        self.say(severity, f"{self._name(event)}: risk state is now {state.name}")

    def _denial(self, code: int, event: Any) -> None:
        text = denial_text(Denial(code), float(event["value"]), float(event["bound"]))
        count, _ = self.denials.get(code, (0, ""))
        self.denials[code] = (count + 1, f"{self._name(event)} {text}")
        if count == 0:
            self._log.info("order.denied", text=text, target=self._name(event))

    def _fill(self, event: Any) -> None:
        ref = int(event["ref"])
        self.fills.append(
            {
                "ts_ns": int(event["ts_ns"]),
                "symbol": self._name(event),
                "side": "SELL" if ref & 1 else "BUY",
                "qty": ref >> 1,
                "price": float(event["value"]),
                "theo": float(event["bound"]) or None,
            }
        )
