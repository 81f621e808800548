"""Control verbs of single FIX sessions: list, connect, disconnect, reset, set_seq, accept; each ``session.VERB``.

Whatever changes a session needs a reason and goes into the audit log. What would lose messages, and with
them fills, is refused until it is asked for with ``force``.
"""

from typing import TYPE_CHECKING, Any

from engine.control import Actor, Verb
from engine.copygateway import CopyGateway
from engine.errors import ControlError
from engine.gateway import Gateway
from fix.errors import FixError

if TYPE_CHECKING:
    from engine.daemon import Daemon

CHANGING_SESSIONS = {"session.connect", "session.disconnect", "session.reset", "session.set_seq", "session.accept"}
_USAGE, _NOT_FOUND = 4, 2


class SessionVerbs:
    """The verbs over one daemon's sessions."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon

    def table(self) -> dict[str, Verb]:
        """Verb name -> coroutine."""
        return {
            "session.list": self.list,
            "session.connect": self.connect,
            "session.disconnect": self.disconnect,
            "session.reset": self.reset,
            "session.set_seq": self.set_seq,
            "session.accept": self.accept,
        }

    def _all(self) -> dict[str, Gateway | CopyGateway]:
        return {gateway.config.name: gateway for gateway in self._daemon.sessions}

    def _named(self, args: dict[str, Any]) -> Gateway | CopyGateway:
        name, known = str(args.get("name", "")), self._all()
        if name not in known:
            there = ", ".join(known) or f"none yet, the daemon is {self._daemon.phase}"
            raise ControlError(f"there is no session {name!r}; there are: {there}", _NOT_FOUND)
        return known[name]

    def open_orders(self, gateway: Gateway | CopyGateway) -> int:
        """Orders of a session that may still trade."""
        engine = self._daemon.require_engine()
        if isinstance(gateway, CopyGateway):
            return 0
        return int(engine.risk.sessions[gateway.index]["open_orders"])

    # -- the verbs -------------------------------------------------------------------------------

    async def list(self, args: dict[str, Any], actor: Actor) -> Any:
        """Every session: where it leads, its state and its numbers."""
        return {"sessions": [describe_gateway(gateway) for gateway in self._all().values()]}

    async def connect(self, args: dict[str, Any], actor: Actor) -> Any:
        """Connect, or stay connected from now on."""
        reason_of(args)
        gateway = self._named(args)
        gateway.session.connect()
        return describe_gateway(gateway)

    async def disconnect(self, args: dict[str, Any], actor: Actor) -> Any:
        """Log out and stay down until ``session.connect``; what the venue makes of open orders is its policy."""
        reason = reason_of(args)
        gateway = self._named(args)
        gateway.session.disconnect(reason)
        return describe_gateway(gateway)

    async def reset(self, args: dict[str, Any], actor: Actor) -> Any:
        """Both sequence numbers to 1; what the venue had not delivered is lost."""
        reason_of(args)
        gateway = self._named(args)
        self._refuse_loss(gateway, args, "a reset")
        self._change(gateway.session.reset_sequences)
        return describe_gateway(gateway)

    async def set_seq(self, args: dict[str, Any], actor: Actor) -> Any:
        """Set the next number in, out, or both."""
        reason_of(args)
        gateway, force = self._named(args), bool(args.get("force"))
        wanted = {key: _number(args[key], key) for key in ("next_in", "next_out") if args.get(key) is not None}
        if not wanted:
            raise ControlError("give next_in, next_out or both", _USAGE)
        session = gateway.session
        if wanted.get("next_in", 0) > session.next_in:
            self._refuse_loss(gateway, args, f"to go from {session.next_in} to {wanted['next_in']} in")
        before = {"next_in": session.next_in, "next_out": session.next_out}
        if "next_in" in wanted:
            self._change(lambda: session.set_next_in(wanted["next_in"], force=force))
        if "next_out" in wanted:
            self._change(lambda: session.set_next_out(wanted["next_out"], force=force))
        return {**describe_gateway(gateway), "before": before}

    async def accept(self, args: dict[str, Any], actor: Actor) -> Any:
        """Take what a drop copy found as explained; the halt itself is lifted by ``resume``."""
        reason_of(args)
        gateway = self._named(args)
        if not isinstance(gateway, CopyGateway):
            copies = ", ".join(copy.config.name for copy in self._daemon.drop_copies) or "none"
            raise ControlError(f"{gateway.config.name} is no drop copy; there are: {copies}", _USAGE)
        return {"name": gateway.config.name, "accepted": gateway.accept()}

    # -- refusals --------------------------------------------------------------------------------

    def _refuse_loss(self, gateway: Gateway | CopyGateway, args: dict[str, Any], what: str) -> None:
        orders = self.open_orders(gateway)
        if orders and not args.get("force"):
            raise ControlError(
                f"{gateway.config.name} has {orders} open orders: {what} would lose reports about them; "
                f"cancel them first (axiom halt {gateway.config.name}), or say --force"
            )

    @staticmethod
    def _change(step: Any) -> None:
        try:
            step()
        except FixError as error:
            raise ControlError(str(error)) from error


def describe_gateway(gateway: Gateway | CopyGateway) -> dict[str, Any]:
    """A session for people and scripts."""
    config, session = gateway.config, gateway.session
    return {
        "name": config.name,
        "venue": config.venue,
        "role": config.role,
        "engine": config.engine,
        "begin_string": config.begin_string,
        "sender_comp_id": config.sender_comp_id,
        "target_comp_id": config.target_comp_id,
        "address": "{}:{}".format(*gateway.initiator.address),
        "state": session.state.name,
        "steady": session.steady,
        "detail": gateway.detail,
        "next_in": session.next_in,
        "next_out": session.next_out,
        "reconnects": max(0, gateway.reconnects),
        "driven_by": "step" if getattr(gateway.session, "lane_out", False) else "asyncio",
        "backlog_bytes": session.backlog_bytes,
        "last_error": gateway.initiator.last_error,
        "fix": session.describe(),
    }


def reason_of(args: dict[str, Any]) -> str:
    """The reason that a change must have."""
    reason = str(args.get("reason", "")).strip()
    if not reason:
        raise ControlError("a reason is required: --reason TEXT", _USAGE)
    return reason


def _number(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 999_999_999:
        raise ControlError(f"{key} must be 1..999999999, was {value!r}", _USAGE)
    return value
