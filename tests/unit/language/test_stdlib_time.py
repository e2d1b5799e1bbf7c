"""Dates and times in the standard library: the façades give Python's own answers."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "datetime": """
        from datetime import datetime, date, time, timedelta, timezone
        import datetime as dt
        d = datetime(2024, 2, 29, 13, 5, 7, 123456)
        aware = datetime(2024, 7, 1, 12, tzinfo=timezone.utc)
        cet = timezone(timedelta(hours=1), "CET")
        errors = []
        for f in (lambda: datetime(2023, 2, 29), lambda: datetime.strptime("x", "%Y"), lambda: datetime.fromisoformat("nope"), lambda: d < aware, lambda: d - aware):
            try:
                f()
            except (ValueError, TypeError) as e:
                errors.append(str(e))
        return (d.isoformat(), d.strftime("%Y-%m-%d %H:%M:%S.%f %A %j %U"), datetime.strptime("29.02.2024 13:05", "%d.%m.%Y %H:%M"), datetime.fromisoformat("2024-02-29T13:05:07Z"), datetime.fromisoformat("2024-02-29 13:05:07+02:00").utcoffset(), d + timedelta(days=1, hours=12), d - timedelta(weeks=1),
                (datetime(2024, 3, 1) - d).total_seconds(), d.replace(hour=0, minute=0), d.date(), d.time(), d.weekday(), d.isoweekday(), d.isocalendar(), d.timetuple().tm_yday, aware.timestamp(), aware.astimezone(cet).isoformat(), cet.tzname(None), datetime.fromtimestamp(0, timezone.utc), datetime.combine(date(2024, 1, 1), time(8, 30)),
                d.date() < date(2024, 3, 1), sorted([date(2024, 2, 1), date(2023, 1, 1)]), max(date.min, date(2024, 1, 1)), date.fromisoformat("2024-01-02").strftime("%d/%m/%y"), date(2024, 1, 31).toordinal(), date.fromordinal(738000), timedelta(seconds=3661), str(timedelta(days=-1, hours=1)), timedelta(minutes=90) / timedelta(hours=1),
                divmod(timedelta(hours=5), timedelta(hours=2)), timedelta(1.5).days, abs(timedelta(-1)), sum([timedelta(1), timedelta(2)], timedelta()), time(1, 2).isoformat("minutes"), time.fromisoformat("04:05:06").hour, dt.datetime.min.year, f"{d:%d %b %Y}", errors, d.ctime(), (d - datetime(2024, 1, 1)) // timedelta(days=1),
                datetime.now(timezone.utc).year >= 2024, (datetime.now() - datetime.now()).days <= 0, date.today().year > 2000, dt.UTC.utcoffset(None), d.strftime("%s") != "", datetime.fromisocalendar(2024, 1, 1), timedelta.max > timedelta(1))
    """,
    "subclasses": """
        from datetime import date, datetime, timedelta, tzinfo
        class Fixed(tzinfo):
            def utcoffset(self, dt): return timedelta(hours=2)
            def dst(self, dt): return timedelta(0)
            def tzname(self, dt): return "FIX"
        class Day(date):
            def next(self): return self + timedelta(1)
        d = datetime(2024, 1, 1, 12, tzinfo=Fixed())
        return d.isoformat(), d.tzname(), Day(2024, 2, 28).next(), type(Day(2024, 1, 1).next()) is Day
    """,
    "time": """
        import time
        from time import gmtime, strftime
        t = time.struct_time((2024, 2, 29, 13, 5, 7, 3, 60, 0))
        before = time.perf_counter()
        time.sleep(0.001)
        return (time.time() > 1.7e9, time.monotonic() > 0, time.perf_counter() > before, time.time_ns() > 10 ** 18, strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(86400)), time.strptime("01.02.2024", "%d.%m.%Y")[:3], time.strftime("%a %d %b", t), t.tm_year, gmtime(0).tm_wday, time.asctime(gmtime(0)), time.mktime(time.localtime(5)),
                time.process_time() >= 0, len(time.ctime()) > 10, isinstance(time.timezone, int))
    """,
    "zoneinfo": """
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones
        from datetime import datetime, timedelta, timezone
        import zoneinfo
        berlin, york, kolkata = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")
        d = datetime(2024, 3, 31, 1, 30, tzinfo=berlin)
        folds = [datetime(2024, 10, 27, 2, 30, fold=f, tzinfo=berlin).utcoffset() for f in (0, 1)]
        try:
            ZoneInfo("Mars/Olympus")
        except ZoneInfoNotFoundError as e:
            error = type(e).__name__
        return (datetime(2024, 7, 1, 12, tzinfo=timezone.utc).astimezone(york).isoformat(), (d + timedelta(hours=1)).isoformat(), d.astimezone(timezone.utc).isoformat(), d.tzname(), d.dst(), folds, str(kolkata), kolkata.key, datetime(2024, 1, 1, tzinfo=kolkata).utcoffset(), berlin is ZoneInfo("Europe/Berlin"), error,
                "Europe/Paris" in available_timezones(), datetime.fromisoformat("2024-07-01T12:00:00Z").astimezone(ZoneInfo("Australia/Sydney")).strftime("%H:%M %Z"), datetime(1900, 1, 1, tzinfo=york).utcoffset(), zoneinfo.ZoneInfo("UTC").utcoffset(None))
    """,
    "calendar": """
        import calendar
        from calendar import monthrange, isleap, TextCalendar
        c = calendar.Calendar(firstweekday=0)
        return (monthrange(2024, 2), isleap(2024), calendar.leapdays(2000, 2025), calendar.month_name[3], calendar.day_abbr[0], list(calendar.month_abbr)[:3], calendar.month(2024, 2), c.monthdayscalendar(2024, 2), list(c.itermonthdates(2024, 2))[0], calendar.timegm((1970, 1, 2, 0, 0, 0)), calendar.weekday(2024, 2, 29) == calendar.THURSDAY,
                TextCalendar(6).formatmonth(2024, 2), calendar.HTMLCalendar().formatmonth(2024, 2)[:20])
    """,
    "business_days": """
        from datetime import date, timedelta
        holidays = {date(2024, 12, 25), date(2024, 12, 26)}
        def add_business_days(day, n):
            while n:
                day += timedelta(days=1)
                n -= day.weekday() < 5 and day not in holidays
            return day
        def month_ends(year):
            return [(date(year + m // 12, m % 12 + 1, 1) - timedelta(days=1)).day for m in range(1, 13)]
        def quarter(d): return (d.month - 1) // 3 + 1
        rows = [{"at": "2024-01-15"}, {"at": "2024-05-03"}, {"at": "2024-02-01"}]
        by_quarter = {}
        for r in rows:
            by_quarter.setdefault(quarter(date.fromisoformat(r["at"])), []).append(r["at"])
        return add_business_days(date(2024, 12, 24), 3), month_ends(2024), by_quarter, (date(2024, 5, 1) - date(1990, 5, 2)).days // 365
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
