"""`robbie brief`: one now, and when they come, as scripts see it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

TIMES = {"morning": time(7, 30), "afternoon": time(13), "evening": time(18, 30)}


def test_the_schedule_of_400_days_is_that_of_the_zone_database(robbie):
    result = robbie("brief", "schedule", "--from", "2027-03-01", "--days", "400", "--json")
    told = json.loads(result.stdout)["slots"]
    zone, first = ZoneInfo("Europe/Berlin"), date(2027, 3, 1)
    wanted = [datetime.combine(first + timedelta(days=count), at, zone).astimezone(UTC) for count in range(400) for at in TIMES.values()]
    assert [datetime.fromisoformat(each["utc"]) for each in told] == wanted
    assert all(datetime.fromisoformat(each["local"]) == datetime.fromisoformat(each["utc"]) for each in told)
    assert Counter(each["local"][-6:] for each in told).keys() == {"+01:00", "+02:00"}
    assert told[0].keys() == {"person", "slot", "local", "utc"}


def test_a_brief_now_is_complete_and_sent_if_asked(robbie):
    result = robbie("brief", "evening", "--send", "--json", key="sk-wrong")
    told = json.loads(result.stdout)
    assert (tuple(told), told["slot"], result.returncode) == (("text", "sections", "slot", "person"), "evening", 0)
    assert told["text"].startswith("# Evening brief, ")


def test_what_is_wrong_is_told_in_one_line(robbie):
    assert (robbie("brief", "schedule", "--days", "0").returncode, robbie("brief", "noon").returncode) == (2, 2)
    assert robbie("brief", "schedule", "--from", "2027-02-30").returncode == 2
    nobody = robbie("brief", "morning", "--as", "Nobody")
    assert (nobody.returncode, nobody.stderr.count("\n")) == (1, 1)
