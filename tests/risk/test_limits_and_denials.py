"""The two tables people read: limits and denials."""

import math

import numpy as np
import pytest

from risk.denials import DENIALS, Denial, denial_table, denial_text
from risk.errors import LimitError
from risk.limits import LIMIT_WORDS, LIMITS, Limit, bound, checked_value, default_limits, limit_by_name, limits_table


def test_every_limit_has_a_spec_and_a_default_inside_its_range():
    assert set(LIMITS) == set(Limit)
    assert max(Limit) < LIMIT_WORDS
    words = default_limits()
    for limit, spec in LIMITS.items():
        assert checked_value(limit, spec.default) == words[limit] > 0


def test_every_denial_but_none_has_a_spec_and_fits_below_the_engines_events():
    assert set(DENIALS) == set(Denial) - {Denial.NONE}
    assert max(Denial) < 100


@pytest.mark.parametrize("value", [math.nan, -1.0, -math.inf, math.inf, 2e300])
def test_word_that_is_no_limit_counts_as_zero(value):
    words = np.full(LIMIT_WORDS, value)
    assert bound(words, int(Limit.MAX_ORDER_QTY)) == 0.0


def test_bound_reads_the_word():
    words = default_limits()
    words[Limit.MAX_ORDER_QTY] = 17.5
    assert bound(words, int(Limit.MAX_ORDER_QTY)) == 17.5


def test_value_out_of_range_names_limit_range_unit_and_value():
    with pytest.raises(LimitError, match=r"max_order_qty must be 0\.\.100000 contracts, was -5"):
        checked_value(Limit.MAX_ORDER_QTY, -5)
    with pytest.raises(LimitError, match="was nan"):
        checked_value(Limit.MAX_ORDER_QTY, math.nan)
    assert checked_value(Limit.MAX_ORDER_QTY, 100_000) == 100_000


def test_unknown_limit_suggests_the_nearest():
    assert limit_by_name("max-order-qty") is Limit.MAX_ORDER_QTY
    with pytest.raises(LimitError, match="did you mean max_order_qty"):
        limit_by_name("max_order_quantity")


def test_denial_text_names_its_two_numbers():
    assert denial_text(Denial.SIZE_QTY, 60.0, 50.0) == "SIZE_QTY: qty=60, limit=50"
    assert denial_text(Denial.STATE_KILLED, 3.0, 0.0) == "STATE_KILLED: state=3"
    assert denial_text(0, 0.0, 0.0) == "NONE"
    assert denial_text(99, 1.0, 2.0) == "DENIAL_99: value=1, bound=2"


def test_tables_have_a_row_for_each():
    assert all(f"`{denial.name}`" in denial_table() for denial in DENIALS)
    assert all(f"`{limit.name.lower()}`" in limits_table() for limit in Limit)
