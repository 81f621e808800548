"""Trading status by message: a halted series is pulled at once and not quoted until the venue says so."""

import pytest

from market.enums import FrameKind, OrderAction, SessionState, TradingStatus
from market.records import SECURITY_STATUS
from tests.engine.step.rig import CALL, OPT, PUT, EventCode, Rig


@pytest.fixture
def rig():
    rig = Rig()
    for order in rig.open().orders:
        rig.ack(order)
    return rig


def say(rig, instrument, status):
    return rig.feed(SECURITY_STATUS, FrameKind.SECURITY_STATUS, instrument=instrument, status=status, session=OPT)


def test_a_halt_pulls_both_sides_of_the_series_alone(rig):
    out = say(rig, CALL, TradingStatus.HALTED)
    assert [int(o["instrument"]) for o in out.of(OrderAction.CANCEL)] == [CALL, CALL]
    assert out.event(EventCode.SECURITY_STATUS)["ref"] == TradingStatus.HALTED


def test_market_data_that_still_says_open_does_not_lift_a_halt(rig):
    for order in say(rig, CALL, TradingStatus.HALTED).of(OrderAction.CANCEL):
        rig.canceled(order, orig_cl_ord_id=order["orig_cl_ord_id"])
    rig.quote(CALL, 470, 530)
    assert not [o for o in rig.commit().orders if o["instrument"] == CALL]


def test_a_resume_quotes_again(rig):
    for order in say(rig, CALL, TradingStatus.HALTED).of(OrderAction.CANCEL):
        rig.canceled(order, orig_cl_ord_id=order["orig_cl_ord_id"])
    out = say(rig, CALL, TradingStatus.OPEN)
    assert [int(o["instrument"]) for o in out.of(OrderAction.NEW)] == [CALL, CALL]


def test_said_twice_is_said_once(rig):
    say(rig, CALL, TradingStatus.HALTED)
    assert say(rig, CALL, TradingStatus.HALTED).events == []


def test_a_halt_holds_as_long_as_the_session_that_said_it(rig):
    say(rig, PUT, TradingStatus.HALTED)
    rig.session(OPT, SessionState.DOWN)
    assert rig.engine.books[PUT]["said_status"] == 0


def test_status_of_an_instrument_that_we_do_not_know_changes_nothing(rig):
    assert say(rig, 7, TradingStatus.HALTED).orders == []
