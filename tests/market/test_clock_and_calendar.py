"""A clock that jumps is noticed; expiries are New York's, on both sides of daylight saving."""

from datetime import date

import pytest

from market.calendar import NS_PER_DAY, calendar_years, expiry_ns, new_york_midnight_ns, trading_years
from market.clock import ClockWatch

S = 1_000_000_000


def _watch() -> ClockWatch:
    watch = ClockWatch(tolerance_ns=S)
    watch.check(100 * S, 5 * S)
    return watch


@pytest.mark.parametrize("jump", [-3600 * S, -S - 1, S + 1, 3600 * S])
def test_a_jump_beyond_the_tolerance_is_told_with_its_size(jump):
    assert _watch().check(110 * S + jump, 15 * S) == jump


@pytest.mark.parametrize("jump", [-S, 0, S])
def test_at_the_tolerance_it_is_drift(jump):
    assert _watch().check(110 * S + jump, 15 * S) == 0


def test_a_jump_is_told_once():
    watch = _watch()
    assert watch.check(1110 * S, 15 * S) == 1000 * S
    assert watch.check(1120 * S, 25 * S) == 0


def test_the_real_clocks_agree_with_themselves():
    assert ClockWatch().check() == 0


@pytest.mark.parametrize(
    ("day", "utc_hour"),
    [(date(2015, 12, 24), 21), (date(2015, 7, 17), 20), (date(2015, 3, 6), 21), (date(2015, 3, 13), 20)],
)
def test_an_expiry_is_four_in_the_afternoon_in_new_york(day, utc_hour):
    midnight_utc = (day - date(1970, 1, 1)).days * NS_PER_DAY
    assert expiry_ns(day) - midnight_utc == utc_hour * 3600 * S
    assert expiry_ns(day) - new_york_midnight_ns(day) == 16 * 3600 * S


def test_calendar_time_is_in_years_of_365_days_and_negative_once_over():
    end = expiry_ns(date(2015, 12, 24))
    assert calendar_years(end - 365 * NS_PER_DAY, end) == 1.0
    assert calendar_years(end, end) == 0.0 and calendar_years(end + 1, end) < 0.0


def test_trading_time_counts_sessions_and_skips_nights_and_weekends():
    friday, monday = expiry_ns(date(2015, 12, 18)), expiry_ns(date(2015, 12, 21))
    assert trading_years(friday, monday) == pytest.approx(1 / 252)
    assert trading_years(monday - 3 * 3600 * S, monday) == pytest.approx(3 / 6.5 / 252)
    assert trading_years(monday, monday) == trading_years(monday + 1, monday) == 0.0
