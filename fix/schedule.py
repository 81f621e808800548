"""When a session may be up: time zone, weekdays, holidays, hours, and which sequence numbers belong together.

Pure functions of the time; drivers ask and act (connect, log out, reset the numbers). Times of day are
local to the zone, so a session of 09:30 in New York moves in UTC with daylight saving. A local time
that the clocks skip means the instant as far after the last tick before the gap; one that occurs
twice means the first.

A holiday belongs to the day on which a daily session begins: one that began the evening before goes on
into it. A weekly session is closed on that day from midnight to midnight and goes on afterwards with its
numbers, being one session still.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fix.errors import SettingsError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SECOND_NS = 1_000_000_000
_WEEK = 7
_MIDNIGHT = "00:00:00"


class _Piece(NamedTuple):
    """A time during which a session is open without interruption, UTC nanoseconds."""

    session: int  # when the session began that it is part of
    start: int
    end: int


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Opening hours of one session.

    Three shapes: *daily* (``start`` to ``end``, on each day of ``days``), *weekly* (``start_day``
    ``start`` to ``end_day`` ``end``), and ``non_stop``. Sequence numbers start over with each session.

    Raises
    ------
    SettingsError
        When a time, a day, a date or the zone is none, a half day ends outside its session, or two shapes
        are mixed.
    """

    time_zone: str = "UTC"
    #: ``HH:MM:SS``. Equal to ``end``: a session lasts until the next one begins.
    start: str = "00:00:00"
    #: Not after ``start``: on the next day.
    end: str = "00:00:00"
    #: Days on which a daily session starts; empty: every day.
    days: tuple[str, ...] = ()
    #: Both set: one session a week.
    start_day: str = ""
    end_day: str = ""
    #: Logons are taken and made between these times of day only; empty: during the whole session.
    logon_start: str = ""
    logon_end: str = ""
    #: One session for ever.
    non_stop: bool = False
    #: ``YYYY-MM-DD``, in the zone: no daily session begins on these days, a weekly one is closed. Days on which
    #: there would be none anyway may stand here too, so that one list does for several sessions.
    holidays: tuple[str, ...] = ()
    #: ``YYYY-MM-DD HH:MM:SS``: the daily session that begins on this day ends then, which is earlier than usual;
    #: not after ``start``: on the next day. A weekly one is closed from then to midnight.
    half_days: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SettingsError(
                f"time_zone must be an IANA name such as America/New_York, was {self.time_zone!r}"
            ) from None
        for name in ("start", "end"):
            _time_of_day(name, getattr(self, name))
        for name in ("logon_start", "logon_end"):
            if getattr(self, name):
                _time_of_day(name, getattr(self, name))
        for day in (*self.days, *filter(None, (self.start_day, self.end_day))):
            if day not in WEEKDAYS:
                raise SettingsError(f"a weekday must be one of {', '.join(WEEKDAYS)}, was {day!r}")
        if bool(self.start_day) != bool(self.end_day):
            raise SettingsError("a weekly session needs both start_day and end_day; set the other one")
        if bool(self.logon_start) != bool(self.logon_end):
            raise SettingsError("a logon window needs both logon_start and logon_end; set the other one")
        if self.start_day and self.days:
            raise SettingsError("days belongs to a daily session, start_day and end_day to a weekly one; leave one out")
        hours = self.start != self.end or self.days or self.start_day or self.logon_start
        if self.non_stop and (hours or self.holidays or self.half_days):
            raise SettingsError("a non_stop session has no hours, days, holidays or logon window; leave them out")
        self._check_calendar()

    def _check_calendar(self) -> None:
        seen: set[date] = set()
        for name, entries in (("holidays", self.holidays), ("half_days", self.half_days)):
            for entry in entries:
                day = _date(name, entry.partition(" ")[0] if name == "half_days" else entry)
                if day in seen:
                    raise SettingsError(f"holidays and half_days must name each date once, {day} stands there twice")
                seen.add(day)
        for entry in self.half_days:
            text = _half_day_end(entry)
            first, last = self._hours_of(_date("half_days", entry[:10]))
            # HH:MM:SS sort as they stand; a daily session over midnight has two parts of a day.
            inside = first < text < last if first < last else text > first or text < last
            if not inside:
                raise SettingsError(
                    f"half_days: the end on {entry[:10]} must be after {first} and before {last}, was {text}"
                )

    def _hours_of(self, day: date) -> tuple[str, str]:
        """From when to when a session is usually open on a date; of a daily one, the session that begins then."""
        if not self.start_day:
            return self.start, self.end
        weekday = WEEKDAYS[day.weekday()]
        first = self.start if weekday == self.start_day else _MIDNIGHT
        return first, self.end if weekday == self.end_day and self.end > first else "24:00:00"

    # -------------------------------------------------------------- questions

    def is_open(self, now_ns: int) -> bool:
        """Whether the session may be up."""
        return self.non_stop or self._piece_at(now_ns) is not None

    def logon_open(self, now_ns: int) -> bool:
        """Whether a logon may begin; one that stands may go on outside this window."""
        if not self.is_open(now_ns):
            return False
        if not self.logon_start:
            return True
        now = self._local(now_ns).time().replace(fold=0)
        start, end = _time_of_day("logon_start", self.logon_start), _time_of_day("logon_end", self.logon_end)
        if start < end:
            return start <= now < end
        return now >= start or now < end

    def session_start(self, now_ns: int) -> int | None:
        """UTC nanoseconds at which the session of ``now_ns`` began; None outside, 0 for a non-stop one."""
        if self.non_stop:
            return 0
        found = self._piece_at(now_ns)
        return None if found is None else found.session

    def same_session(self, a_ns: int, b_ns: int) -> bool:
        """Whether both times lie in one session: then the sequence numbers go on."""
        if self.non_stop:
            return True
        start = self.session_start(a_ns)
        return start is not None and start == self.session_start(b_ns)

    def next_change(self, now_ns: int) -> int | None:
        """When any answer given here changes next; None: never (a non-stop session)."""
        if self.non_stop:
            return None
        times: set[int] = set()
        for piece in self._pieces(now_ns):
            times |= {piece.start, piece.end}
            if piece.start > now_ns:
                break
        if self.logon_start:
            today = self._local(now_ns).date()
            for offset in range(-1, _WEEK + 2):
                day = today + timedelta(days=offset)
                times |= {self._instant(day, text) for text in (self.logon_start, self.logon_end)}
        return min(edge for edge in times if edge > now_ns)

    def describe(self) -> str:
        """One line for people."""
        if self.non_stop:
            return "non-stop"
        if self.start_day:
            hours = f"{self.start_day} {self.start} to {self.end_day} {self.end}"
        else:
            hours = f"{','.join(self.days) or 'daily'} {self.start} to {self.end}"
        window = f", logon {self.logon_start} to {self.logon_end}" if self.logon_start else ""
        closed = f", {len(self.holidays)} holidays" if self.holidays else ""
        short = f", {len(self.half_days)} half days" if self.half_days else ""
        return f"{hours} {self.time_zone}{window}{closed}{short}"

    # ----------------------------------------------------------------- pieces

    def _local(self, now_ns: int) -> datetime:
        seconds, rest = divmod(now_ns, _SECOND_NS)
        moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
        return moment.astimezone(ZoneInfo(self.time_zone))

    def _instant(self, day: date, text: str) -> int:
        moment = datetime.combine(day, _time_of_day("time", text), ZoneInfo(self.time_zone))
        return round(moment.timestamp()) * _SECOND_NS

    def _piece_at(self, now_ns: int) -> _Piece | None:
        for piece in self._pieces(now_ns):
            if piece.start > now_ns:
                break
            if now_ns < piece.end:
                return piece
        return None

    def _pieces(self, now_ns: int) -> Iterator[_Piece]:
        """Open times, ascending, of sessions from the one that may have begun a week ago to the next one.

        As many weeks further as there are holidays, each of which may take one session away, and one for a
        session that the clocks skip.
        """
        today = self._local(now_ns).date()
        early = {entry[:10]: entry[11:] for entry in self.half_days}
        for offset in range(-_WEEK - 1, _WEEK * (2 + len(self.holidays)) + 2):
            day = today + timedelta(days=offset)
            weekday = WEEKDAYS[day.weekday()]
            if self.start_day:
                if weekday == self.start_day:
                    yield from self._week(day, early)
            elif (not self.days or weekday in self.days) and str(day) not in self.holidays:
                end_text = early.get(str(day), self.end)
                start, end = self._instant(day, self.start), self._end(day, end_text)
                if start < end:  # not so only where the clocks skip the whole of it
                    yield _Piece(start, start, end)

    def _end(self, day: date, text: str) -> int:
        """When a daily session that begins on ``day`` ends: ``text``, not after its start on the next day."""
        return self._instant(day + timedelta(days=text <= self.start), text)

    def _week(self, first: date, early: dict[str, str]) -> Iterator[_Piece]:
        """The open times of the weekly session that begins on ``first``."""
        length = (WEEKDAYS.index(self.end_day) - first.weekday()) % _WEEK
        if not length and self.end <= self.start:
            length = _WEEK
        session, end = self._instant(first, self.start), self._instant(first + timedelta(days=length), self.end)
        since = session
        for day in (first + timedelta(days=k) for k in range(length + 1)):
            if str(day) in self.holidays:
                closes = self._instant(day, _MIDNIGHT)
            elif str(day) in early:
                closes = self._instant(day, early[str(day)])
            else:
                continue
            if since < min(closes, end):
                yield _Piece(session, since, min(closes, end))
            since = max(since, self._instant(day + timedelta(days=1), _MIDNIGHT))
        if since < end:
            yield _Piece(session, since, end)


def _time_of_day(name: str, text: str) -> time:
    try:
        found = time.fromisoformat(text)
        if found.isoformat() != text:  # a zone, a fraction, or another spelling
            raise ValueError
    except ValueError:
        raise SettingsError(f"{name} must be a time of day HH:MM:SS, was {text!r}") from None
    return found


def _date(name: str, text: str) -> date:
    try:
        found = date.fromisoformat(text)
        if found.isoformat() != text:  # by weeks, or without dashes
            raise ValueError
    except ValueError:
        raise SettingsError(f"{name} must hold dates YYYY-MM-DD, had {text!r}") from None
    return found


def _half_day_end(entry: str) -> str:
    """Time of day at which a half day ends."""
    day, blank, text = entry.partition(" ")
    if not blank:
        raise SettingsError(f"half_days must hold YYYY-MM-DD HH:MM:SS, had {entry!r}")
    _time_of_day(f"half_days: the end on {day}", text)
    return text
