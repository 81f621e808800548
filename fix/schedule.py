"""When a session may be up: time zone, weekdays, hours, and which sequence numbers belong together.

Pure functions of the time; drivers ask and act (connect, log out, reset the numbers). Times of day are
local to the zone, so a session of 09:30 in New York moves in UTC with daylight saving. A local time
that the clocks skip means the instant as far after the last tick before the gap; one that occurs
twice means the first.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fix.errors import SettingsError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SECOND_NS = 1_000_000_000
_WEEK = 7


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Opening hours of one session.

    Three shapes: *daily* (``start`` to ``end``, on each day of ``days``), *weekly* (``start_day``
    ``start`` to ``end_day`` ``end``), and ``non_stop``. Sequence numbers start over with each session.

    Raises
    ------
    SettingsError
        When a time, a day or the zone is none, or two shapes are mixed.
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
        if self.non_stop and (self.start != self.end or self.days or self.start_day or self.logon_start):
            raise SettingsError("a non_stop session has no hours, days or logon window; leave them out")

    # -------------------------------------------------------------- questions

    def is_open(self, now_ns: int) -> bool:
        """Whether the session may be up."""
        return self.non_stop or self._session_at(now_ns) is not None

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
        found = self._session_at(now_ns)
        return None if found is None else found[0]

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
        times = {edge for session in self._sessions(now_ns) for edge in session}
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
        return f"{hours} {self.time_zone}{window}"

    # ----------------------------------------------------------------- pieces

    def _local(self, now_ns: int) -> datetime:
        seconds, rest = divmod(now_ns, _SECOND_NS)
        moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
        return moment.astimezone(ZoneInfo(self.time_zone))

    def _instant(self, day: date, text: str) -> int:
        moment = datetime.combine(day, _time_of_day("time", text), ZoneInfo(self.time_zone))
        return round(moment.timestamp()) * _SECOND_NS

    def _session_at(self, now_ns: int) -> tuple[int, int] | None:
        for start, end in self._sessions(now_ns):
            if start <= now_ns < end:
                return start, end
        return None

    def _sessions(self, now_ns: int) -> Iterator[tuple[int, int]]:
        """Sessions from the one that may have begun a week ago to the next one, ascending."""
        today = self._local(now_ns).date()
        overnight = _time_of_day("end", self.end) <= _time_of_day("start", self.start)
        for offset in range(-_WEEK - 1, _WEEK + 2):
            day = today + timedelta(days=offset)
            weekday = WEEKDAYS[day.weekday()]
            if self.start_day:
                if weekday != self.start_day:
                    continue
                length = (WEEKDAYS.index(self.end_day) - day.weekday()) % _WEEK
                if not length and overnight:
                    length = _WEEK
            elif self.days and weekday not in self.days:
                continue
            else:
                length = int(overnight)
            start, end = self._instant(day, self.start), self._instant(day + timedelta(days=length), self.end)
            if start < end:  # not so only where the clocks skip the whole of it
                yield start, end


def _time_of_day(name: str, text: str) -> time:
    try:
        if len(text) != len("HH:MM:SS"):
            raise ValueError
        return time.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{name} must be a time of day HH:MM:SS, was {text!r}") from None
