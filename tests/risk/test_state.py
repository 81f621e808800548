"""Who may trade what: states by scope, the kill latch, definitions."""

import numpy as np
import pytest

from market.enums import Right, ScopeKind, SecurityKind, SessionState, Side
from market.enums import RiskState as TradingState
from risk.denials import Denial
from risk.gate import check_cancel
from risk.limits import Limit, default_limits
from risk.state import (
    define_instrument,
    effective_state,
    kill,
    make_risk_state,
    rearm,
    set_limit,
    set_session,
    set_state,
    underlying_slot,
)
from tests.risk.world import CALL, NOW_NS, PUT, UNDERLYING, World

FIRM, UNDERLYING_SCOPE = int(ScopeKind.FIRM), int(ScopeKind.UNDERLYING)
INSTRUMENT, SESSION = int(ScopeKind.INSTRUMENT), int(ScopeKind.SESSION)


def test_nothing_may_trade_in_a_new_state():
    world = World(make_risk_state(4, 2, 2))
    set_state(world.risk, FIRM, 0, int(TradingState.HALTED))
    assert world.ask() == Denial.STATE_HALTED
    assert world.ask(instrument=3) == Denial.INSTRUMENT_UNKNOWN
    assert world.ask(session=1) == Denial.SESSION_NOT_READY
    assert make_risk_state(1, 1, 1).firm[0]["state"] == TradingState.HALTED


@pytest.mark.parametrize(
    ("scope", "target", "hit", "spared"),
    [
        (FIRM, 0, (UNDERLYING, CALL, PUT), ()),
        (UNDERLYING_SCOPE, UNDERLYING, (UNDERLYING, CALL, PUT), ()),
        (INSTRUMENT, CALL, (CALL,), (UNDERLYING, PUT)),
        (SESSION, 0, (UNDERLYING, CALL, PUT), ()),
    ],
)
def test_halt_of_a_scope_stops_what_is_inside_it_and_resume_frees_it(world, scope, target, hit, spared):
    assert set_state(world.risk, scope, target, int(TradingState.HALTED))
    assert all(world.ask(i) == Denial.STATE_HALTED for i in hit)
    assert all(world.ask(i) == Denial.NONE for i in spared)
    assert set_state(world.risk, scope, target, int(TradingState.ACTIVE))
    assert all(world.ask(i) == Denial.NONE for i in hit)


def test_tightest_state_counts(world):
    set_state(world.risk, INSTRUMENT, CALL, int(TradingState.REDUCING))
    set_state(world.risk, SESSION, 0, int(TradingState.HALTED))
    assert effective_state(world.risk, CALL, 0) == TradingState.HALTED
    assert effective_state(world.risk, CALL, 1) == TradingState.REDUCING


def test_kill_is_latched_and_rearm_leaves_the_firm_halted(world):
    assert kill(world.risk)
    for scope in (FIRM, UNDERLYING_SCOPE, INSTRUMENT, SESSION):
        assert bool(set_state(world.risk, scope, 0, int(TradingState.ACTIVE))) is (scope != FIRM)
    assert world.ask() == Denial.STATE_KILLED
    assert rearm(world.risk)
    assert world.ask() == Denial.STATE_HALTED
    assert not rearm(world.risk)
    assert set_state(world.risk, FIRM, 0, int(TradingState.ACTIVE))
    assert world.ask() == Denial.NONE


def test_killed_word_alone_kills_whatever_the_state_word_says(world):
    world.risk.firm[0]["killed"] = 1
    assert world.ask() == Denial.STATE_KILLED


def test_kill_by_any_scope_kills_the_firm(world):
    assert set_state(world.risk, INSTRUMENT, PUT, int(TradingState.KILLED))
    assert world.ask(CALL) == Denial.STATE_KILLED


@pytest.mark.parametrize(
    ("scope", "target"), [(4, 0), (UNDERLYING_SCOPE, CALL), (INSTRUMENT, 4), (INSTRUMENT, -1), (SESSION, 2)]
)
def test_unknown_scope_or_target_is_refused(world, scope, target):
    assert not set_state(world.risk, scope, target, int(TradingState.HALTED))


@pytest.mark.parametrize("state", [-1, 4])
def test_state_that_is_none_is_refused(world, state):
    assert not set_state(world.risk, FIRM, 0, state)
    assert world.ask() == Denial.NONE


def test_cancels_pass_in_every_state(world):
    kill(world.risk)
    set_session(world.risk, 0, int(SessionState.DOWN))
    world.limit(Limit.MAX_MESSAGES_PER_S, float("nan"))
    assert check_cancel(world.risk, 0, NOW_NS) == 0
    assert check_cancel(world.risk, 99, NOW_NS) == 0
    assert world.risk.sessions[0]["cancels"] == 1


@pytest.mark.parametrize("link", [SessionState.DOWN, SessionState.LOGGED_ON, 7])
def test_session_that_is_not_reconciled_gets_no_new_risk(world, link):
    assert set_session(world.risk, 0, int(link)) is (link != 7)
    assert world.ask() == Denial.SESSION_NOT_READY


def _define(risk, instrument, underlying=0, multiplier=100, tick_rule=0, session=0):
    kind, right = int(SecurityKind.OPTION), int(Right.CALL)
    return define_instrument(risk, instrument, underlying, kind, right, multiplier, 2, tick_rule, session, 0)


def test_underlyings_get_slots_in_order_and_a_full_table_leaves_the_instrument_unknown():
    risk = make_risk_state(4, 2, 1)
    assert [_define(risk, 0, 70), _define(risk, 1, 80), _define(risk, 2, 70), _define(risk, 3, 90)] == [0, 1, 0, -1]
    assert (underlying_slot(risk, 80), underlying_slot(risk, 90)) == (1, -1)
    assert risk.instruments[3]["defined"] == 0


@pytest.mark.parametrize(
    "bad", [{"instrument": 4}, {"instrument": -1}, {"multiplier": 0}, {"tick_rule": 9}, {"session": 1}]
)
def test_definition_out_of_range_is_refused(bad):
    risk = make_risk_state(4, 2, 1)
    assert _define(risk, **({"instrument": 0} | bad)) == -1
    assert not np.any(risk.instruments["defined"])


def test_second_definition_keeps_position_and_underlying(world):
    world.fill(CALL, Side.BUY, 3)
    assert _define(world.risk, CALL, underlying=99) == 0
    assert world.risk.instruments[CALL]["position"] == 3


def test_limits_may_live_in_memory_of_others():
    words = default_limits()
    risk = make_risk_state(2, 1, 1, words)
    assert set_limit(risk, int(Limit.MAX_ORDER_QTY), 3.0)
    assert words[Limit.MAX_ORDER_QTY] == 3.0
    assert not set_limit(risk, 64, 1.0)
    assert not set_limit(risk, 0, 1.0)
    with pytest.raises(ValueError, match="float64"):
        make_risk_state(2, 1, 1, words[:5])
    with pytest.raises(ValueError, match="at least 1"):
        make_risk_state(0, 1, 1)
