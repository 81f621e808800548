"""OSI symbols, tick tables and the instrument master."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.enums import Right, SecurityKind
from market.errors import InstrumentError, PriceError, SymbolError
from market.instruments import InstrumentMaster, OsiSymbol, TickRule, is_on_tick, tick_ceil, tick_floor, tick_step

GOOG = OsiSymbol("GOOG", date(2015, 12, 24), Right.CALL, Decimal(750))


@pytest.mark.parametrize("text", ["GOOG  151224C00750000", "GOOG151224C00750000"])
def test_both_forms_read_the_same(text):
    assert OsiSymbol.parse(text) == GOOG


def test_both_forms_are_written():
    assert GOOG.format() == "GOOG  151224C00750000" and len(GOOG.format()) == 21
    assert GOOG.compact() == "GOOG151224C00750000"


@pytest.mark.parametrize(
    "text",
    ["", "GOOG", "GOOG151224X00750000", "GOOG151224C0075000", "GOOG151224C007500000", "goog151224C00750000",
     "TOOLONG151224C00750000", "GO OG151224C00750000", "GOOG151224C0075000O", " GOOG151224C00750000"],
)  # fmt: skip
def test_what_is_no_symbol_is_refused_and_named(text):
    with pytest.raises(SymbolError) as refused:
        OsiSymbol.parse(text)
    assert repr(text) in str(refused.value)


def test_an_impossible_date_is_refused():
    with pytest.raises(SymbolError, match="150230 is not a date"):
        OsiSymbol.parse("GOOG150230C00750000")


@pytest.mark.parametrize("strike", ["0", "-1", "100000", "0.0005"])
def test_a_strike_that_cannot_be_written_is_refused(strike):
    with pytest.raises(SymbolError, match=r"0\.001 to 99999\.999"):
        OsiSymbol("A", date(2015, 1, 2), Right.PUT, Decimal(strike)).compact()


@given(
    st.from_regex(r"[A-Z0-9.]{1,6}", fullmatch=True), st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    st.sampled_from([Right.CALL, Right.PUT]), st.integers(1, 99_999_999),
)  # fmt: skip
def test_every_symbol_survives_both_forms(root, expiry, right, mills):
    symbol = OsiSymbol(root, expiry, right, Decimal(mills) / 1000)
    assert OsiSymbol.parse(symbol.format()) == symbol
    if not root[-1].isdigit():  # a root that ends in digits needs its padding
        assert OsiSymbol.parse(symbol.compact()) == symbol


STEPS = {  # below and from 3.00
    TickRule.UNIT: (1, 1), TickRule.NICKEL_DIME: (5, 10), TickRule.PENNY_NICKEL: (1, 5), TickRule.NICKEL: (5, 5),
}  # fmt: skip


@pytest.mark.parametrize("rule", TickRule)
def test_the_increment_changes_at_three(rule):
    assert (tick_step(rule, 299), tick_step(rule, 300), tick_step(rule, 301)) == (
        STEPS[rule][0],
        *(STEPS[rule][1],) * 2,
    )


@pytest.mark.parametrize("rule", TickRule)
def test_floor_and_ceil_are_the_nearest_valid_prices(rule):
    valid = [t for t in range(1200) if t % STEPS[rule][t >= 300] == 0]
    for ticks in range(1000):
        assert tick_floor(rule, ticks) == max(v for v in valid if v <= ticks)
        assert tick_ceil(rule, ticks) == min(v for v in valid if v >= ticks)
        assert is_on_tick(rule, ticks) == (ticks in valid)


def _master() -> InstrumentMaster:
    master = InstrumentMaster(4)
    master.add(symbol="AXM", security=SecurityKind.EQUITY)
    master.add(
        symbol="AXM260116C00100000", security=SecurityKind.OPTION, underlying=0, right=Right.CALL, strike=100.0,
        expiry_ns=1, multiplier=100, tick_rule=TickRule.NICKEL_DIME,
    )  # fmt: skip
    return master


def test_numbers_are_given_in_order_and_found_by_symbol():
    master = _master()
    assert master.index_of("AXM260116C00100000") == 1 and master.index_of("AXN") == -1
    assert list(master.symbols()) == ["AXM", "AXM260116C00100000"]
    assert list(master.options_of(0)) == [1] and list(master.options_of(1)) == []


def test_prices_and_ticks_are_exact():
    master = _master()
    assert master.to_price(1, 505) == Decimal("5.05") and master.to_ticks(1, Decimal("5.05")) == 505
    with pytest.raises(PriceError, match=r"5\.055"):
        master.to_ticks(1, Decimal("5.055"))


OPTION = {"security": SecurityKind.OPTION, "right": Right.CALL, "strike": 1.0, "expiry_ns": 1}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"symbol": "AXM"}, "already instrument 0"),
        ({"symbol": ""}, "0 bytes"),
        ({"symbol": "X" * 25}, "25 bytes"),
        ({"symbol": "O", **OPTION, "strike": 0.0}, "strike"),
        ({"symbol": "O", **OPTION, "expiry_ns": 0}, "expiry"),
        ({"symbol": "O", **OPTION, "right": Right.NONE}, "right"),
        ({"symbol": "O", "tick_rule": TickRule.NICKEL, "price_scale": 4}, "price_scale 2, was 4"),
        ({"symbol": "O", "multiplier": 0}, "multiplier 0"),
        ({"symbol": "O", "price_scale": 9}, "price_scale 9"),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(fields, named):
    with pytest.raises(InstrumentError, match=named):
        _master().add(**{"security": SecurityKind.EQUITY} | fields)


def test_a_full_master_says_how_to_enlarge_it():
    master = _master()
    master.add(symbol="B", security=SecurityKind.EQUITY)
    master.add(symbol="C", security=SecurityKind.EQUITY)
    with pytest.raises(InstrumentError, match=r"full at 4.*engine\.max_instruments"):
        master.add(symbol="D", security=SecurityKind.EQUITY)


def test_a_restored_table_is_found_by_symbol_again():
    master, other = _master(), InstrumentMaster(4)
    other.rows[:] = master.rows
    other.rebuild(2)
    assert other.index_of("AXM260116C00100000") == 1 and other.count == 2
