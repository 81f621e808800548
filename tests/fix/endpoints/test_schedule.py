"""Schedules: hours, weekdays, zones, daylight saving, and which sequence numbers belong together."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix.errors import SettingsError
from fix.schedule import Schedule

NEW_YORK = "America/New_York"


def at(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


def utc(ns: int | None) -> str:
    assert ns is not None
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")
DAY = Schedule(time_zone=NEW_YORK, start="09:30:00", end="16:00:00", days=WEEKDAYS)
NIGHT = Schedule(time_zone="Europe/London", start="22:00:00", end="06:00:00", days=("sun", "mon"))
WEEK = Schedule(time_zone=NEW_YORK, start="18:00:00", end="17:00:00", start_day="sun", end_day="fri")
ROUND = Schedule(time_zone=NEW_YORK, start="17:00:00", end="17:00:00")


@pytest.mark.parametrize(
    ("schedule", "local", "zone", "is_open"),
    [
        (DAY, "2026-11-20 09:29:59", NEW_YORK, False),
        (DAY, "2026-11-20 09:30:00", NEW_YORK, True),
        (DAY, "2026-11-20 15:59:59", NEW_YORK, True),
        (DAY, "2026-11-20 16:00:00", NEW_YORK, False),
        (DAY, "2026-11-21 10:00:00", NEW_YORK, False),  # a Saturday
        (NIGHT, "2026-11-22 21:59:59", "Europe/London", False),  # a Sunday
        (NIGHT, "2026-11-22 22:00:00", "Europe/London", True),
        (NIGHT, "2026-11-24 05:59:59", "Europe/London", True),  # began on Monday
        (NIGHT, "2026-11-24 22:30:00", "Europe/London", False),  # none begins on Tuesday
        (WEEK, "2026-11-22 17:59:59", NEW_YORK, False),
        (WEEK, "2026-11-22 18:00:00", NEW_YORK, True),
        (WEEK, "2026-11-25 03:00:00", NEW_YORK, True),
        (WEEK, "2026-11-27 16:59:59", NEW_YORK, True),
        (WEEK, "2026-11-27 17:00:00", NEW_YORK, False),
        (ROUND, "2026-11-21 03:00:00", NEW_YORK, True),
        (Schedule(non_stop=True), "2026-11-21 03:00:00", NEW_YORK, True),
    ],
)
def test_open_from_start_to_just_before_end(schedule: Schedule, local: str, zone: str, is_open: bool) -> None:
    assert schedule.is_open(at(local, zone)) is is_open
    assert schedule.logon_open(at(local, zone)) is is_open


def test_hours_follow_the_zone_through_both_changes_of_the_clocks() -> None:
    assert utc(DAY.session_start(at("2026-03-06 12:00:00", NEW_YORK))) == "2026-03-06 14:30:00"
    assert utc(DAY.session_start(at("2026-03-09 12:00:00", NEW_YORK))) == "2026-03-09 13:30:00"
    assert utc(DAY.session_start(at("2026-11-02 12:00:00", NEW_YORK))) == "2026-11-02 14:30:00"
    # A session over the night of the change is an hour shorter or longer, and one session still.
    long_night = Schedule(time_zone=NEW_YORK, start="20:00:00", end="08:00:00")
    before, after = at("2026-03-07 23:00:00", NEW_YORK), at("2026-03-08 07:00:00", NEW_YORK)
    assert long_night.same_session(before, after)
    start, end = long_night.session_start(before), long_night.next_change(after)
    assert start is not None
    assert end is not None
    assert (end - start) / 3.6e12 == 11


def test_start_in_the_hour_that_the_clocks_skip_is_after_the_gap() -> None:
    schedule = Schedule(time_zone=NEW_YORK, start="02:30:00", end="05:00:00")
    assert utc(schedule.session_start(at("2026-03-08 04:00:00", NEW_YORK))) == "2026-03-08 07:30:00"


def test_start_in_the_hour_that_occurs_twice_is_the_first() -> None:
    schedule = Schedule(time_zone=NEW_YORK, start="01:30:00", end="05:00:00")
    assert utc(schedule.session_start(at("2026-11-01 04:00:00", NEW_YORK))) == "2026-11-01 05:30:00"


def test_sequence_numbers_belong_to_one_session() -> None:
    morning, noon, next_day = (
        at(text, NEW_YORK) for text in ("2026-11-19 10:00", "2026-11-19 12:00", "2026-11-20 10:00")
    )
    assert DAY.same_session(morning, noon)
    assert not DAY.same_session(noon, next_day)
    assert not DAY.same_session(noon, at("2026-11-19 20:00", NEW_YORK)), "outside there is no session"
    assert not ROUND.same_session(at("2026-11-19 16:59:59", NEW_YORK), at("2026-11-19 17:00:00", NEW_YORK))
    assert WEEK.same_session(at("2026-11-16 10:00", NEW_YORK), next_day)
    assert Schedule(non_stop=True).same_session(0, noon)


def test_logon_window_lies_inside_the_session() -> None:
    schedule = Schedule(
        time_zone=NEW_YORK, start="08:00:00", end="17:00:00", logon_start="07:30:00", logon_end="08:15:00"
    )
    assert not schedule.logon_open(at("2026-11-20 07:45", NEW_YORK)), "the session is not open yet"
    assert schedule.logon_open(at("2026-11-20 08:14:59", NEW_YORK))
    assert not schedule.logon_open(at("2026-11-20 08:15:00", NEW_YORK))
    assert schedule.is_open(at("2026-11-20 12:00", NEW_YORK))
    assert utc(schedule.next_change(at("2026-11-20 08:00", NEW_YORK))) == "2026-11-20 13:15:00"


def test_logon_window_over_midnight() -> None:
    schedule = Schedule(logon_start="23:30:00", logon_end="00:30:00")
    inside, outside = ("2026-11-20 23:30", "2026-11-20 00:29:59"), ("2026-11-20 00:30", "2026-11-20 23:29:59")
    assert all(schedule.logon_open(at(text)) for text in inside)
    assert not any(schedule.logon_open(at(text)) for text in outside)


SCHEDULES = (
    DAY,
    NIGHT,
    WEEK,
    ROUND,
    Schedule(start="10:00:00", end="10:00:01", logon_start="10:00:00", logon_end="10:00:01"),
    Schedule(
        time_zone=NEW_YORK, start="18:00:00", end="17:00:00", start_day="sun", end_day="fri", holidays=("2026-01-01",)
    ),
)


@given(st.sampled_from(SCHEDULES), st.integers(at("2025-01-01"), at("2028-01-01")))
def test_nothing_changes_before_next_change_and_something_does_at_it(schedule: Schedule, now: int) -> None:
    change = schedule.next_change(now)
    assert change is not None
    assert now < change <= now + 9 * 86_400 * 10**9
    answers = [
        (schedule.is_open(moment), schedule.logon_open(moment), schedule.session_start(moment))
        for moment in (now, (now + change) // 2, change - 1)
    ]
    assert answers[0] == answers[1] == answers[2]


@given(st.sampled_from((DAY, NIGHT, ROUND)), st.integers(at("2025-01-01"), at("2028-01-01")))
def test_open_agrees_with_a_walk_over_local_days(schedule: Schedule, now: int) -> None:
    """The slow twin: try each local day's session in turn."""
    zone = ZoneInfo(schedule.time_zone)
    local = datetime.fromtimestamp(now / 1e9, zone)
    found = False
    for offset in (-1, 0):
        day = (local + timedelta(days=offset)).date()
        if schedule.days and day.strftime("%a").lower() not in schedule.days:
            continue
        last = day + timedelta(days=1) if schedule.end <= schedule.start else day
        start, end = at(f"{day} {schedule.start}", schedule.time_zone), at(f"{last} {schedule.end}", schedule.time_zone)
        found = found or start <= now < end
    assert schedule.is_open(now) is found


# ------------------------------------------------------- holidays and half days

THANKSGIVING = {"holidays": ("2026-11-26", "2026-12-25"), "half_days": ("2026-11-27 13:00:00",)}
CALENDARS = {
    # Both changes of the clocks, the day before and after them, turns of month and year, neighbours, a weekend.
    "daily in New York": Schedule(
        time_zone=NEW_YORK, start="09:30:00", end="16:00:00", days=WEEKDAYS,
        holidays=("2026-01-01", "2026-03-06", "2026-03-09", "2026-07-03", "2026-07-04", "2026-12-25"),
        half_days=("2026-03-10 12:00:00", "2026-10-30 13:00:00", "2026-11-02 10:15:30", "2026-12-24 13:00:00"),
    ),
    "over midnight in London": Schedule(
        time_zone="Europe/London", start="22:00:00", end="06:00:00",
        holidays=("2026-03-27", "2026-10-23", "2026-12-24", "2026-12-25", "2026-12-26"),
        half_days=("2026-03-28 23:30:00", "2026-10-24 05:15:00", "2026-12-31 00:30:00"),
    ),
    "round the clock in Sydney": Schedule(
        time_zone="Australia/Sydney", start="17:00:00", end="17:00:00", days=("mon", "tue", "wed", "thu", "sun"),
        holidays=("2026-04-05", "2026-04-06", "2026-10-04"), half_days=("2026-04-02 20:00:00", "2026-10-05 09:00:00"),
    ),
    "weekly in New York": Schedule(
        time_zone=NEW_YORK, start="18:00:00", end="17:00:00", start_day="sun", end_day="fri",
        holidays=("2026-03-08", "2026-04-03", "2026-11-26", "2026-12-24", "2026-12-25", "2026-12-27"),
        half_days=("2026-03-09 12:00:00", "2026-11-01 21:00:00", "2026-11-27 13:00:00"),
    ),
    "weekly in Beirut, where midnight is skipped": Schedule(
        time_zone="Asia/Beirut", start="18:00:00", end="17:00:00", start_day="thu", end_day="wed",
        holidays=("2026-03-28", "2026-03-29", "2026-10-25"), half_days=("2026-03-31 08:00:00",),
    ),
}  # fmt: skip


def open_by_the_clock_on_the_wall(schedule: Schedule, local: datetime) -> bool:
    """The slow twin: what a person decides who looks at date and time alone. Knows nothing of instants."""
    now, today, eve = f"{local:%H:%M:%S}", local.date(), local.date() - timedelta(days=1)
    short = dict(entry.split(" ") for entry in schedule.half_days)

    def name(day: date) -> str:
        return f"{day:%a}".lower()

    if schedule.start_day:
        order = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
        since = (order.index(name(today)) - order.index(schedule.start_day)) % 7
        last = (order.index(schedule.end_day) - order.index(schedule.start_day)) % 7
        running = (
            since <= last and not (since == 0 and now < schedule.start) and not (since == last and now >= schedule.end)
        )
        return running and str(today) not in schedule.holidays and now < short.get(str(today), "24")

    def begins(day: date) -> bool:
        return (not schedule.days or name(day) in schedule.days) and str(day) not in schedule.holidays

    end, end_of_eve = short.get(str(today), schedule.end), short.get(str(eve), schedule.end)
    ends_today = end > schedule.start
    from_today = begins(today) and now >= schedule.start and (now < end or not ends_today)
    from_eve = begins(eve) and end_of_eve <= schedule.start and now < end_of_eve
    return from_today or from_eve


def busy_days(schedule: Schedule, zone: ZoneInfo, first: date, days: int) -> set[date]:
    """Days near an entry of the calendar or a change of the clocks."""
    near = {date.fromisoformat(entry[:10]) for entry in (*schedule.holidays, *schedule.half_days)}
    for day in (first + timedelta(days=k) for k in range(days)):
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
        if noon.utcoffset() != (noon + timedelta(days=1)).utcoffset():
            near |= {day, day + timedelta(days=1)}
    return {day + timedelta(days=k) for day in near for k in (-1, 0, 1)}


@pytest.mark.parametrize("schedule", CALENDARS.values(), ids=CALENDARS)
def test_a_year_is_open_or_closed_as_the_clock_on_the_wall_says(schedule: Schedule) -> None:
    """Minute by minute near holidays and changes of the clocks, else at both ends and every two hours."""
    zone = ZoneInfo(schedule.time_zone)
    busy = busy_days(schedule, zone, date(2026, 1, 1), 366)
    now, end = at("2026-01-01"), at("2027-01-03")
    while now < end:
        change = schedule.next_change(now)
        assert change is not None
        is_open = schedule.is_open(now)
        assert schedule.is_open(change - 1) is is_open
        second, stop = now // 10**9, change // 10**9
        while second < stop:
            local = datetime.fromtimestamp(second, zone)
            assert open_by_the_clock_on_the_wall(schedule, local) is is_open, local
            step = 60 if local.date() in busy else 7200
            second = second + step if second + step < stop or second == stop - 1 else stop - 1
        now = change


def test_a_holiday_belongs_to_the_day_on_which_the_session_begins() -> None:
    night = Schedule(start="22:00:00", end="06:00:00", holidays=("2026-12-25",))
    assert night.is_open(at("2026-12-25 05:00:00")), "the session of the eve goes on"
    assert not night.is_open(at("2026-12-25 23:00:00"))
    assert not night.is_open(at("2026-12-26 05:00:00"))
    assert night.is_open(at("2026-12-26 22:00:00"))


def test_numbers_of_a_week_go_on_behind_a_holiday_and_those_of_a_day_do_not() -> None:
    week = Schedule(
        time_zone=NEW_YORK, start="18:00:00", end="17:00:00", start_day="sun", end_day="fri", **THANKSGIVING
    )
    wednesday, holiday, friday = (at(f"2026-11-{day} 12:00:00", NEW_YORK) for day in (25, 26, 27))
    assert week.session_start(holiday) is None
    assert week.same_session(wednesday, friday)
    assert utc(week.next_change(wednesday)) == "2026-11-26 05:00:00"
    assert utc(week.next_change(holiday)) == "2026-11-27 05:00:00"
    assert utc(week.next_change(friday)) == "2026-11-27 18:00:00", "the half day's end"
    day = Schedule(time_zone=NEW_YORK, start="09:30:00", end="16:00:00", days=WEEKDAYS, **THANKSGIVING)
    assert not day.same_session(wednesday, friday)
    assert day.same_session(at("2026-11-27 09:30:00", NEW_YORK), at("2026-11-27 12:59:59", NEW_YORK))


def test_the_next_opening_is_found_behind_any_number_of_holidays() -> None:
    mondays = tuple(str(date(2026, 1, 5) + timedelta(days=7 * k)) for k in range(40))
    schedule = Schedule(start="09:00:00", end="10:00:00", days=("mon",), holidays=mondays)
    assert utc(schedule.next_change(at("2026-01-01"))) == "2026-10-12 09:00:00"
    weeks = tuple(str(date(2026, 1, 4) + timedelta(days=k)) for k in range(30))
    schedule = Schedule(start="09:00:00", end="10:00:00", start_day="sun", end_day="fri", holidays=weeks)
    assert utc(schedule.next_change(at("2026-01-03"))) == "2026-02-03 00:00:00"


def test_a_session_that_the_clocks_skip_is_followed_by_another() -> None:
    schedule = Schedule(time_zone=NEW_YORK, start="02:15:00", end="02:45:00", days=("sun",))
    assert utc(schedule.next_change(at("2026-03-07 12:00:00", NEW_YORK))) > "2026-03-08"


def test_holidays_stand_in_the_description() -> None:
    assert Schedule(**THANKSGIVING).describe() == "daily 00:00:00 to 00:00:00 UTC, 2 holidays, 1 half days"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"time_zone": "Mars/Olympus"}, "time_zone must be an IANA name"),
        ({"start": "9:30"}, "start must be a time of day HH:MM:SS, was '9:30'"),
        ({"end": "24:00:00"}, "end must be a time of day"),
        ({"days": ("monday",)}, "a weekday must be one of mon, tue"),
        ({"start_day": "mon"}, "needs both start_day and end_day"),
        ({"start_day": "mon", "end_day": "fri", "days": ("mon",)}, "leave one out"),
        ({"logon_start": "08:00:00"}, "needs both logon_start and logon_end"),
        ({"non_stop": True, "days": ("mon",)}, "non_stop session has no hours"),
        ({"non_stop": True, "holidays": ("2026-12-25",)}, "non_stop session has no hours, days, holidays"),
        ({"start": "09:30+01"}, "start must be a time of day HH:MM:SS, was '09:30[+]01'"),
        ({"holidays": ("2026-02-29",)}, "holidays must hold dates YYYY-MM-DD, had '2026-02-29'"),
        ({"holidays": ("2026-W53-5",)}, "holidays must hold dates YYYY-MM-DD, had '2026-W53-5'"),
        ({"holidays": ("2026-12-25", "2026-12-25")}, "2026-12-25 stands there twice"),
        ({"holidays": ("2026-12-25",), "half_days": ("2026-12-25 12:00:00",)}, "2026-12-25 stands there twice"),
        ({"half_days": ("2026-12-24",)}, "half_days must hold YYYY-MM-DD HH:MM:SS, had '2026-12-24'"),
        ({"half_days": ("2026-12-24 12:00",)}, "the end on 2026-12-24 must be a time of day HH:MM:SS, was '12:00'"),
        (
            {"start": "09:30:00", "end": "16:00:00", "half_days": ("2026-12-24 16:00:00",)},
            "half_days: the end on 2026-12-24 must be after 09:30:00 and before 16:00:00, was 16:00:00",
        ),
        ({"start": "09:30:00", "end": "16:00:00", "half_days": ("2026-12-24 09:30:00",)}, "must be after 09:30:00"),
        ({"start": "22:00:00", "end": "06:00:00", "half_days": ("2026-12-24 12:00:00",)}, "before 06:00:00"),
        (
            {
                "start_day": "sun",
                "end_day": "fri",
                "start": "18:00:00",
                "end": "17:00:00",
                "half_days": ("2026-11-27 17:00:00",),
            },
            "after 00:00:00 and before 17:00:00",
        ),
    ],
)
def test_contradictions_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        Schedule(**values)
