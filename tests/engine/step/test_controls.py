"""Operators: kill, drain, halt, limits; each binds from the very frame on."""

import pytest

from engine.state import W_ARMED
from market.enums import ControlVerb, OrderAction, OrdStatus, RiskState, ScopeKind, SessionState, Side
from market.records import NO_INSTRUMENT
from risk.denials import Denial
from risk.limits import Limit
from strategies.quoting import QuotingParam
from tests.engine.step.rig import CALL, EQ, OPT, PUT, UNDER, EventCode, Rig, S


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    for order in rig.open().orders:
        rig.ack(order)
    return rig


def _refresh(rig: Rig):
    """A second later, everything fresh: what would be quoted now?"""
    rig.wait(S)
    rig.alive()
    rig.market()
    return rig.commit()


def test_nothing_is_sent_before_arming():
    rig = Rig()
    rig.ready()
    assert not rig.commit().orders and not rig.timer(S).orders


def test_kill_mass_cancels_on_every_session_and_latches(rig):
    out = rig.control(ControlVerb.KILL)
    mass = out.of(OrderAction.MASS_CANCEL)
    assert sorted(int(o["session"]) for o in mass) == [OPT, EQ]
    assert {int(o["instrument"]) for o in mass} == {NO_INSTRUMENT}
    assert EventCode.KILLED in out.codes()
    for verb in (ControlVerb.ARM, ControlVerb.RESUME):
        assert EventCode.REFUSED_CONTROL in rig.control(verb).codes()
    assert not _refresh(rig).of(OrderAction.NEW)


def test_rearm_leaves_halted_and_only_arm_trades_again(rig):
    rig.control(ControlVerb.KILL)
    for slot in range(4):
        order = rig.engine.orders[slot]
        rig.execution(
            cl_ord_id=order["cl_ord_id"], exec_type=ord("4"), ord_status=OrdStatus.CANCELED, instrument=CALL, side=49
        )
    assert EventCode.REARMED in rig.control(ControlVerb.REARM).codes()
    assert not _refresh(rig).of(OrderAction.NEW)
    rig.control(ControlVerb.ARM)
    assert len(_refresh(rig).of(OrderAction.NEW)) == 4


def test_rearm_without_kill_is_refused(rig):
    assert EventCode.REFUSED_CONTROL in rig.control(ControlVerb.REARM).codes()


def test_kill_outlives_a_restart():
    rig = Rig()
    rig.open()
    rig.control(ControlVerb.KILL)
    rig.run_start(run=2)
    for session in (OPT, EQ):
        rig.no_orders(session, rig.logon(session))
    assert EventCode.REFUSED_CONTROL in rig.control(ControlVerb.ARM).codes()


def test_an_order_in_flight_at_a_kill_is_cancelled_when_it_is_acknowledged():
    rig = Rig()
    sent = rig.open().orders
    rig.control(ControlVerb.KILL)
    out = rig.ack(sent[0])
    assert [int(o["orig_cl_ord_id"]) for o in out.of(OrderAction.CANCEL)] == [int(sent[0]["cl_ord_id"])]


def test_drain_cancels_everything_and_cannot_be_armed_away(rig):
    out = rig.control(ControlVerb.DRAIN)
    assert len(out.of(OrderAction.MASS_CANCEL)) == 2
    assert EventCode.REFUSED_CONTROL in rig.control(ControlVerb.ARM).codes()
    assert not _refresh(rig).of(OrderAction.NEW)


@pytest.mark.parametrize(
    ("scope", "target", "pulled"),
    [
        (ScopeKind.FIRM, 0, {CALL, PUT}),
        (ScopeKind.UNDERLYING, UNDER, {CALL, PUT}),
        (ScopeKind.INSTRUMENT, PUT, {PUT}),
        (ScopeKind.SESSION, OPT, {CALL, PUT}),
        (ScopeKind.SESSION, EQ, set()),
    ],
)
def test_halt_pulls_the_scope_and_resume_quotes_it_again(rig, scope, target, pulled):
    out = rig.control(ControlVerb.HALT, scope, target)
    cancels = out.of(OrderAction.CANCEL)
    assert {int(o["instrument"]) for o in cancels} == pulled and len(cancels) == 2 * len(pulled)
    assert out.event(EventCode.SCOPE_STATE)["ref"] == RiskState.HALTED
    for cancel in cancels:
        rig.canceled(cancel)
    assert not [o for o in _refresh(rig).of(OrderAction.NEW) if int(o["instrument"]) in pulled]
    rig.control(ControlVerb.RESUME, scope, target)
    again = {int(o["instrument"]) for o in rig.timer().of(OrderAction.NEW)}
    assert again == pulled


@pytest.mark.parametrize(
    ("scope", "target"), [(ScopeKind.INSTRUMENT, 4096), (ScopeKind.SESSION, 99), (ScopeKind.UNDERLYING, CALL), (9, 0)]
)
def test_a_scope_that_does_not_exist_is_refused(rig, scope, target):
    out = rig.control(ControlVerb.HALT, scope, target)
    assert out.codes() == [EventCode.REFUSED_CONTROL]


def test_a_tightened_limit_binds_on_the_next_order(rig):
    out = rig.limit(Limit.MAX_ORDER_QTY, 4)
    event = out.event(EventCode.LIMIT_CHANGED)
    assert (event["value"], event["bound"], event["ref"]) == (4, 50, Limit.MAX_ORDER_QTY)
    first = rig.order(CALL, Side.BUY)
    assert first["status"] == OrdStatus.NEW, "what stands was allowed when it was sent"
    fake = {"qty": 5, "cl_ord_id": first["cl_ord_id"], "session": OPT, "instrument": CALL, "side": Side.BUY,
            "orig_cl_ord_id": 0, "price_ticks": first["price_ticks"]}  # fmt: skip
    out = rig.fill(fake, 5)
    assert not out.of(OrderAction.NEW)
    assert out.event(Denial.SIZE_QTY)["value"] == 5
    assert not rig.timer(S).events, "a denial is said once, not ten times a second"
    rig.limit(Limit.MAX_ORDER_QTY, 5)
    rig.market()
    assert [o["instrument"] for o in rig.timer().of(OrderAction.NEW)] == [CALL]


@pytest.mark.parametrize("limit", [0, 64, 4_000_000_000])
def test_a_limit_that_does_not_exist_is_refused(rig, limit):
    before = rig.engine.risk.limits.copy()
    out = rig.control(ControlVerb.LIMIT_SET, limit=limit, value=1e9)
    assert out.codes() == [EventCode.REFUSED_CONTROL]
    assert (rig.engine.risk.limits == before).all()


def test_a_quoting_parameter_is_set_and_an_unknown_one_refused(rig):
    rig.control(ControlVerb.QUOTING_PARAM, target=QuotingParam.LOT, value=3)
    assert rig.engine.quoting[QuotingParam.LOT] == 3
    assert rig.control(ControlVerb.QUOTING_PARAM, target=5000, value=3).codes() == [EventCode.REFUSED_CONTROL]


def test_pull_cancels_and_keeps_the_state(rig):
    out = rig.control(ControlVerb.PULL)
    assert len(out.of(OrderAction.CANCEL)) == 4 and rig.engine.words[W_ARMED] == 1
    assert EventCode.SCOPE_STATE not in out.codes()


def test_a_clock_jump_halts_the_firm_until_resume(rig):
    out = rig.control(ControlVerb.CLOCK_JUMP, value=12.5)
    assert out.event(EventCode.CLOCK_JUMP)["value"] == 12.5
    assert len(out.of(OrderAction.CANCEL)) == 4
    assert rig.engine.risk.firm[0]["state"] == RiskState.HALTED


def test_every_request_is_answered_with_its_number(rig):
    assert rig.control(ControlVerb.PULL, request_id=41).event(EventCode.CONTROL_DONE)["ref"] == 41
    assert rig.control(99, request_id=42).event(EventCode.REFUSED_CONTROL)["ref"] == 42


def test_a_session_that_drops_leaves_its_orders_unknown_and_counted(rig):
    out = rig.session(OPT, SessionState.DOWN)
    assert out.event(EventCode.SESSION_DOWN)["ref"] == 4
    assert rig.status(CALL, Side.BUY) == OrdStatus.UNKNOWN and rig.working(CALL) == (5, 5)
    assert not rig.timer(5 * S).orders, "nothing can be sent, nothing can be known"


def test_ready_is_never_believed_from_outside(rig):
    rig.session(OPT, SessionState.DOWN)
    rig.session(OPT, SessionState.READY)
    assert rig.engine.links[OPT]["state"] == SessionState.DOWN
