import math

import numpy as np
import pytest

from gpu.chain.quotes import ex_own_prices
from market.records import QUOTE, table


@pytest.mark.parametrize(
    ("own_ticks", "own_qty", "price"),
    [
        (0, 0, 10.00),  # nothing of ours
        (1000, 4, 10.00),  # others stand beside us
        (1000, 5, 9.90),  # level 1 is ours alone
        (1000, 9, 9.90),  # the book is older than our fill
        (990, 3, 10.00),  # ours is behind the best
    ],
)
def test_own_bid_is_taken_out_of_the_top_of_the_book(own_ticks, own_qty, price):
    assert _bid(own_ticks, own_qty, second_qty=7) == pytest.approx(price)


def test_when_all_there_is_is_ours_there_is_no_market():
    assert math.isnan(_bid(1000, 5, second_qty=0))


def _bid(own_ticks, own_qty, second_qty):
    quotes = table(QUOTE, 2)
    row = quotes[0]
    row["bid_ticks"], row["bid_qty"], row["bid2_ticks"], row["bid2_qty"] = 1000, 5, 990, second_qty
    row["ask_ticks"], row["ask_qty"] = 1010, 2
    own = [np.array([own_ticks, 0]), np.array([own_qty, 0])]
    none = np.zeros(2, np.int64)
    bid, ask = np.zeros(2), np.zeros(2)
    ex_own_prices(quotes, np.array([0.01, 0.01]), *own, none, none, bid, ask)
    assert ask[0] == pytest.approx(10.10)
    assert math.isnan(bid[1])
    assert math.isnan(ask[1])
    return bid[0]
