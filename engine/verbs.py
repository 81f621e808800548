"""What the control socket can do: each verb checks its arguments and posts a CONTROL frame."""

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.control import Actor, Verb
from engine.errors import ControlError
from engine.loop import new_frame
from engine.sessionverbs import CHANGING_SESSIONS, SessionVerbs
from market.enums import ControlVerb, FrameKind, RiskState, ScopeKind
from market.records import CONTROL
from risk.errors import RiskError
from risk.limits import LIMITS, Limit, checked_value, limit_by_name

if TYPE_CHECKING:
    from engine.daemon import Daemon

_ANSWER_S = 5.0
CHANGING = {"limits.set", "halt", "resume", "kill", "rearm", "arm", "stop"} | CHANGING_SESSIONS


class Verbs:
    """The verbs over one daemon."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._next_request = 1
        self._waiting: dict[int, asyncio.Future[bool]] = {}

    def table(self) -> dict[str, Verb]:
        """Verb name -> coroutine."""
        return {
            "status": self.status,
            "limits.show": self.limits_show,
            "limits.set": self.limits_set,
            "halt": self.halt,
            "resume": self.resume,
            "kill": self.kill,
            "rearm": self.rearm,
            "arm": self.arm,
            "stop": self.stop,
            **SessionVerbs(self._daemon).table(),
        }

    def answered(self, request: int, done: bool) -> None:
        """The step carried out, or refused, a request."""
        future = self._waiting.pop(request, None)
        if future is not None and not future.done():
            future.set_result(done)

    async def post(
        self, verb: ControlVerb, actor_uid: int, scope: int = 0, target: int = 0, limit: int = 0, value: float = 0.0
    ) -> bool:
        """Post one CONTROL frame and wait for the step's answer."""
        loop = self._daemon.loop
        if loop is None:
            raise ControlError("the daemon is still starting: try again when status says running", 1)
        request = self._next_request
        self._next_request += 1
        frame = new_frame(CONTROL)
        frame["kind"], frame["verb"], frame["scope"], frame["target"] = FrameKind.CONTROL, verb, scope, target
        frame["limit"], frame["value"], frame["actor_uid"], frame["request_id"] = limit, value, actor_uid, request
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        loop.post_frame(frame)
        try:
            return await asyncio.wait_for(future, _ANSWER_S)
        except TimeoutError as e:
            raise ControlError(f"the step did not answer within {_ANSWER_S:g} s", 5) from e

    async def status(self, args: dict[str, Any], actor: Actor) -> Any:
        """The status document."""
        return self._daemon.status(int(args.get("rows", 60)), orders=bool(args.get("orders")))

    async def limits_show(self, args: dict[str, Any], actor: Actor) -> Any:
        """All limits with values, ranges and reasons."""
        engine = self._daemon.require_engine()
        values = np.asarray(engine.risk.limits)
        return {
            "limits": [
                {
                    "name": limit.name.lower(),
                    "value": float(values[limit]),
                    "default": spec.default,
                    "low": 0.0,
                    "high": spec.high,
                    "unit": spec.unit,
                    "meaning": spec.meaning,
                    "reason": spec.reason,
                    "used": None,
                }
                for limit, spec in LIMITS.items()
            ]
        }

    async def limits_set(self, args: dict[str, Any], actor: Actor) -> Any:
        """Set one limit; binds from the next order on."""
        engine = self._daemon.require_engine()
        name, value = str(args.get("name", "")), args.get("value")
        _reason(args)
        try:
            limit = limit_by_name(name)
        except RiskError as e:
            raise ControlError(str(e), 2) from e
        try:
            number = checked_value(Limit(limit), float(value))  # type: ignore[arg-type]
        except (RiskError, TypeError, ValueError) as e:
            raise ControlError(str(e), 1) from e
        old = float(engine.risk.limits[limit])
        if not await self.post(ControlVerb.LIMIT_SET, actor.uid, limit=int(limit), value=number):
            raise ControlError(f"the step refused {name} = {number:g}")
        return {"name": limit.name.lower(), "old": old, "new": number, "actor": actor.uid}

    def _scope(self, text: str) -> tuple[ScopeKind, int]:
        """Resolve ``firm``, ``kind:NAME`` or a bare name."""
        daemon = self._daemon
        if text in ("", "firm"):
            return ScopeKind.FIRM, 0
        kind, _, name = text.rpartition(":")
        engine = daemon.require_engine()
        number = daemon.directory.numbers.get(name, -1) if daemon.directory else -1
        sessions = {g.config.name: g.index for g in daemon.gateways}
        if kind in ("", "session") and name in sessions:
            return ScopeKind.SESSION, sessions[name]
        if number >= 0 and kind in ("", "underlying", "instrument"):
            own = int(engine.instruments[number]["underlying"]) == number
            if kind == "underlying" or (kind == "" and own):
                return ScopeKind.UNDERLYING, number
            return ScopeKind.INSTRUMENT, number
        raise ControlError(
            f"unknown scope {text!r}: firm, session:NAME ({', '.join(sessions)}), underlying:SYMBOL or "
            f"instrument:SYMBOL",
            2,
        )

    async def _change(self, verb: ControlVerb, state: RiskState, args: dict[str, Any], actor: Actor) -> Any:
        text = str(args.get("scope", "firm"))
        _reason(args)
        scope, target = self._scope(text)
        if not await self.post(verb, actor.uid, int(scope), target):
            raise ControlError(f"{verb.name.lower()} {text} was refused: the firm is KILLED; axiom rearm first")
        self._daemon.alerts.state_reasons[(int(scope), target)] = f"{args['reason']} (uid {actor.uid})"
        return {"scope": text, "state": state.name}

    async def halt(self, args: dict[str, Any], actor: Actor) -> Any:
        """Halt a scope: its orders are cancelled, only cancels pass."""
        return await self._change(ControlVerb.HALT, RiskState.HALTED, args, actor)

    async def resume(self, args: dict[str, Any], actor: Actor) -> Any:
        """Back to ACTIVE."""
        return await self._change(ControlVerb.RESUME, RiskState.ACTIVE, args, actor)

    async def kill(self, args: dict[str, Any], actor: Actor) -> Any:
        """Cancel everything everywhere and latch."""
        reason = _reason(args)
        count = self._daemon.open_orders()
        await self.post(ControlVerb.KILL, actor.uid)
        self._daemon.alerts.state_reasons[(int(ScopeKind.FIRM), 0)] = f"{reason} (uid {actor.uid})"
        return {"risk_state": "KILLED", "cancelled": count}

    async def rearm(self, args: dict[str, Any], actor: Actor) -> Any:
        """Leave KILLED and trade again."""
        _reason(args)
        if not await self.post(ControlVerb.REARM, actor.uid):
            raise ControlError("the firm is not KILLED: nothing to re-arm")
        if not await self.post(ControlVerb.ARM, actor.uid):
            raise ControlError("re-armed, but arming was refused")
        return {"risk_state": "ACTIVE"}

    async def arm(self, args: dict[str, Any], actor: Actor) -> Any:
        """Arm after a start with auto_arm off."""
        _reason(args)
        if not await self.post(ControlVerb.ARM, actor.uid):
            raise ControlError("arming was refused: the firm is KILLED; axiom rearm first")
        return {"armed": True}

    async def stop(self, args: dict[str, Any], actor: Actor) -> Any:
        """Begin to stop; the caller waits for the process to end."""
        mode = str(args.get("mode", "drain"))
        if mode not in ("drain", "cancel"):
            raise ControlError(f"mode must be drain or cancel, was {mode!r}", 4)
        self._daemon.request_stop(f"asked by uid {actor.uid}", immediate=mode == "cancel")
        return {"stopping": True}


def _reason(args: dict[str, Any]) -> str:
    reason = str(args.get("reason", "")).strip()
    if not reason:
        raise ControlError("a reason is required: --reason TEXT", 4)
    return reason
