"""Phrases as people write them, with the date and time that a careful human reads in them: `ask` where they would ask, `-` for none.

A line is `phrase => 2026-11-27 15:00`, `=> 2026-11-27` for a whole day, or with a rule behind it: `=> 2026-11-24 09:00 FREQ=DAILY`.
Of the first 267 every third was held out while the grammar was made; the last table came later (docs/decisions/0009).
`day_first` is not known unless a table says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

FIRST = 267


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrase:
    """One line of a table."""

    now: datetime
    text: str
    expected: str
    held_out: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence, what remains of it without its date, and that date."""

    now: datetime
    text: str
    remains: str
    expected: str


TABLES = {
    "2026-11-23 10:00 America/New_York": """
tomorrow => 2026-11-24
tomorrow at 3 => 2026-11-24 15:00
today at 6pm => 2026-11-23 18:00
tonight => 2026-11-23 20:00
tonight at 9 => 2026-11-23 21:00
the day after tomorrow => 2026-11-25
Friday => 2026-11-27
on Friday at 3 => 2026-11-27 15:00
fri 3pm => 2026-11-27 15:00
this Friday at noon => 2026-11-27 12:00
Friday week => 2026-12-04
a week from Tuesday => 2026-12-01
a week on Thursday => 2026-12-03
next week => 2026-11-30
Monday next week at 8:30 => 2026-11-30 08:30
next Monday => 2026-11-30
next month => 2026-12-01
next year => 2027-01-01
this weekend => 2026-11-28
next weekend => ask
end of month => 2026-11-30
by the end of the month => 2026-11-30
EOM => 2026-11-30
end of the week => 2026-11-27
end of next week => 2026-12-04
end of next month => 2026-12-31
end of the year => 2026-12-31
beginning of next month => 2026-12-01
mid-December => 2026-12-15
in the middle of January => 2027-01-15
in a fortnight => 2026-12-07
in 2 weeks => 2026-12-07
in two weeks' time => 2026-12-07
two weeks from today => 2026-12-07
in 3 days => 2026-11-26
in ten days at 14:00 => 2026-12-03 14:00
3 days from now => 2026-11-26
in 90 minutes => 2026-11-23 11:30
in 2 hours => 2026-11-23 12:00
in an hour => 2026-11-23 11:00
in half an hour => 2026-11-23 10:30
an hour from now => 2026-11-23 11:00
in an hour and a half => 2026-11-23 11:30
in 45 min => 2026-11-23 10:45
in 1.5 hours => 2026-11-23 11:30
in 2h => 2026-11-23 12:00
in a couple of days => 2026-11-25
in a few days => ask
in six months => 2027-05-23
in a month => 2026-12-23
in a year => 2027-11-23
half past four => 2026-11-23 16:30
at half past 2 tomorrow => 2026-11-24 14:30
quarter to nine tomorrow => 2026-11-24 08:45
quarter past 5 => 2026-11-23 17:15
ten to five => 2026-11-23 16:50
twenty past three on Wednesday => 2026-11-25 15:20
noon => 2026-11-23 12:00
midnight => 2026-11-24 00:00
at 3 => 2026-11-23 15:00
at 11 => 2026-11-23 11:00
at 9 => ask
at 5 o'clock => 2026-11-23 17:00
4pm => 2026-11-23 16:00
4:15 p.m. => 2026-11-23 16:15
at 16:45 => 2026-11-23 16:45
at 8am => 2026-11-24 08:00
10.30am tomorrow => 2026-11-24 10:30
17h30 => 2026-11-23 17:30
tomorrow 0930 hrs => 2026-11-24 09:30
first thing tomorrow => 2026-11-24 09:00
tomorrow morning => 2026-11-24 09:00
tomorrow afternoon => 2026-11-24 15:00
tomorrow evening at 7 => 2026-11-24 19:00
Thursday evening => 2026-11-26 18:00
this afternoon => 2026-11-23 15:00
8 tomorrow morning => 2026-11-24 08:00
Wednesday at 7 in the evening => 2026-11-25 19:00
COB Friday => 2026-11-27 17:00
EOD => 2026-11-23 17:00
by end of day tomorrow => 2026-11-24 17:00
close of business on Wednesday => 2026-11-25 17:00
tomorrow lunchtime => 2026-11-24 12:00
27.11. => 2026-11-27
27.11.2026 => 2026-11-27
on 27.11. at 14:30 => 2026-11-27 14:30
27. November => 2026-11-27
27 November => 2026-11-27
the 27th of November => 2026-11-27
27/11/2026 => 2026-11-27
11/27 => 2026-11-27
11/27/2026 at 3pm => 2026-11-27 15:00
12/25 => 2026-12-25
25/12 => 2026-12-25
03/04 => ask
03/04/2027 => ask
5/5 => 2027-05-05
Nov 27th => 2026-11-27
Nov 27, 2026 => 2026-11-27
November 27 at 9am => 2026-11-27 09:00
Friday, Nov 27 => 2026-11-27
Friday the 27th at 10 => 2026-11-27 10:00
Monday 27 November => ask
2026-12-01 => 2026-12-01
2026-12-01T09:30 => 2026-12-01 09:30
2026-12-01 17:00 => 2026-12-01 17:00
2026/12/01 => 2026-12-01
1 Dec 2026 => 2026-12-01
1st of December => 2026-12-01
Dec 1 2pm => 2026-12-01 14:00
January 5 => 2027-01-05
Feb 14th => 2027-02-14
3 March 2028 => 2028-03-03
May 5 => 2027-05-05
in May => 2027-05-01
in December => 2026-12-01
on the 3rd => 2026-12-03
the 15th of next month => 2026-12-15
on the 25th at 4pm => 2026-11-25 16:00
on the 31st => ask
30 February => ask
Feb 29 2027 => ask
31 November => ask
31/11/2026 => ask
in the year 9999 => ask
12 March 9999 => ask
on 32/13 => ask
Christmas => 2026-12-25
Christmas Eve at 5pm => 2026-12-24 17:00
New Year's Eve => 2026-12-31
New Year's Day => 2027-01-01
two weeks before Christmas => 2026-12-11
the day before Thanksgiving => 2026-11-25
the Monday after Thanksgiving => 2026-11-30
Q3 => ask
first Monday of December => 2026-12-07
the last Friday of the month => 2026-11-27
2 days before Friday => 2026-11-25
yesterday => 2026-11-22
yesterday at 3pm => 2026-11-22 15:00
last Friday => 2026-11-20
two days ago => 2026-11-21
20 November => ask
at 25:00 => ask
tomorrow at 13pm => ask
tmrw 9am => 2026-11-24 09:00
weds at 2 => 2026-11-25 14:00
Tues 24 Nov 11:15 => 2026-11-24 11:15
in 10 business days => 2026-12-07
Sunday night => 2026-11-29 20:00
later this week => ask
""",
    "2026-11-26 16:20 America/New_York": """
next Friday => ask
next Wednesday => 2026-12-02
next Monday at 9 => 2026-11-30 09:00
Friday => 2026-11-27
Thursday => ask
on Wednesday => 2026-12-02
at 3 => 2026-11-27 15:00
at 3pm => 2026-11-27 15:00
at 8 => ask
at 5 => 2026-11-26 17:00
today at 3pm => 2026-11-26 15:00
this Monday => ask
this evening => 2026-11-26 18:00
this afternoon => ask
a week today => 2026-12-03
today week => 2026-12-03
a fortnight on Saturday => 2026-12-12
the Tuesday after next => ask
Friday in two weeks => ask
the 1st => 2026-12-01
end of this week => 2026-11-27
the week after next => 2026-12-07
in 8 hours => 2026-11-27 00:20
tomorrow night at 11 => 2026-11-27 23:00
5 in the morning => 2026-11-27 05:00
every day at 9 => 2026-11-27 09:00 FREQ=DAILY
every day at 18:00 => 2026-11-26 18:00 FREQ=DAILY
daily at 9 => 2026-11-27 09:00 FREQ=DAILY
every weekday at 8:30 => 2026-11-27 08:30 FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR
weekdays at 8:30 => 2026-11-27 08:30 FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR
every Monday => 2026-11-30 FREQ=WEEKLY;BYDAY=MO
Mondays at 10am => 2026-11-30 10:00 FREQ=WEEKLY;BYDAY=MO
every Monday and Thursday at 4pm => 2026-11-30 16:00 FREQ=WEEKLY;BYDAY=MO,TH
every Tue, Wed and Fri at 7am => 2026-11-27 07:00 FREQ=WEEKLY;BYDAY=TU,WE,FR
every other Friday => 2026-11-27 FREQ=WEEKLY;INTERVAL=2;BYDAY=FR
every 2 weeks on Monday => 2026-11-30 FREQ=WEEKLY;INTERVAL=2;BYDAY=MO
every two weeks => 2026-11-26 FREQ=WEEKLY;INTERVAL=2
every 3 days at noon => 2026-11-27 12:00 FREQ=DAILY;INTERVAL=3
every month on the 15th => 2026-12-15 FREQ=MONTHLY;BYMONTHDAY=15
the 15th of every month at 10:00 => 2026-12-15 10:00 FREQ=MONTHLY;BYMONTHDAY=15
monthly on the 1st => 2026-12-01 FREQ=MONTHLY;BYMONTHDAY=1
first of the month, every month => 2026-12-01 FREQ=MONTHLY;BYMONTHDAY=1
every month on the 31st => 2026-11-30 FREQ=MONTHLY;BYMONTHDAY=-1
on the last day of every month => 2026-11-30 FREQ=MONTHLY;BYMONTHDAY=-1
the last Friday of every month at 3pm => 2026-11-27 15:00 FREQ=MONTHLY;BYDAY=-1FR
every first Monday of the month => 2026-12-07 FREQ=MONTHLY;BYDAY=1MO
every quarter => 2026-11-26 FREQ=MONTHLY;INTERVAL=3
every year on 27 November => 2026-11-27 FREQ=YEARLY
every Christmas => 2026-12-25 FREQ=YEARLY
every hour => 2026-11-26 17:20 FREQ=HOURLY
every 2 hours => 2026-11-26 18:20 FREQ=HOURLY;INTERVAL=2
every morning => 2026-11-27 09:00 FREQ=DAILY
every evening at 6:30 => 2026-11-26 18:30 FREQ=DAILY
every Sunday night => 2026-11-29 20:00 FREQ=WEEKLY;BYDAY=SU
every weekend => 2026-11-28 FREQ=WEEKLY;BYDAY=SA
weekly on Tuesday at 2 => 2026-12-01 14:00 FREQ=WEEKLY;BYDAY=TU
each Wednesday at noon => 2026-12-02 12:00 FREQ=WEEKLY;BYDAY=WE
every day from Monday at 8am => 2026-11-30 08:00 FREQ=DAILY
every 5 minutes => ask
biweekly => ask
""",
    "2027-03-12 09:00 America/New_York": """
Sunday at 2:30am => 2027-03-14 02:30
the day after tomorrow at 3am => 2027-03-14 03:00
in 48 hours => 2027-03-14 10:00
in 2 days at 9am => 2027-03-14 09:00
Monday morning => 2027-03-15 09:00
St Patrick's Day => 2027-03-17
Easter => 2027-03-28
April Fools => 2027-04-01
end of Q1 => 2027-03-31
next Friday => 2027-03-19
Friday => ask
Friday at noon => ask
two weeks on Monday => 2027-03-29
the 1st of April at noon => 2027-04-01 12:00
31 March 2027 => 2027-03-31
the first of next month => 2027-04-01
late April => ask
""",
    "2027-03-26 22:30 Europe/Berlin": """
tomorrow => 2027-03-27
in 30 hours => 2027-03-28 05:30
Sunday 02:30 => 2027-03-28 02:30
28.3. at 02:30 => 2027-03-28 02:30
1.4.2027 => 2027-04-01
01.04.27 => 2027-04-01
1. April 14 Uhr => 2027-04-01 14:00
tonight => ask
at 11 => ask
at 7 => 2027-03-27 07:00
tomorrow at 10.15 am => 2027-03-27 10:15
Monday at 14h => 2027-03-29 14:00
Easter Monday => 2027-03-29
4th April, 6 p.m. => 2027-04-04 18:00
""",
    "2027-10-28 12:00 Europe/London": """
Sunday at 1:30am => 2027-10-31 01:30
in 72 hours => 2027-10-31 11:00
Halloween at 7pm => 2027-10-31 19:00
Boxing Day => 2027-12-26
end of October => 2027-10-31
Saturday week => 2027-11-06
tomorrow at half four => 2027-10-29 16:30
Bonfire Night => -
1 November => 2027-11-01
November 5th at 8 in the evening => 2027-11-05 20:00
midday tomorrow => 2027-10-29 12:00
a week on Monday at 5 => 2027-11-08 17:00
""",
    "2027-09-02 08:00 America/Santiago": """
Sunday at 00:30 => 2027-09-05 00:30
Saturday at midnight => ask
midnight tomorrow => ask
Sat 11:59pm => 2027-09-04 23:59
18 September => 2027-09-18
""",
    "2028-02-28 23:50 Australia/Sydney": """
tomorrow => 2028-02-29
in 20 minutes => 2028-02-29 00:10
29 Feb => 2028-02-29
in a year => 2029-02-28
end of February => 2028-02-29
in two days => 2028-03-01
next month at 9 => 2028-03-01 09:00
at 6 => ask
""",
    "2026-11-24 10:00 America/New_York": """
tomorrow at noon => 2026-11-25 12:00
Sunday at 11am => 2026-11-29 11:00
on Sat at 9:15 => 2026-11-28 09:15
Dec 24 at 6 pm => 2026-12-24 18:00
December 24th, 2026 => 2026-12-24
24th December => 2026-12-24
24 Dec 2026 at 18:00 => 2026-12-24 18:00
2027-02-03 => 2027-02-03
3.2.2027 => 2027-02-03
13/2 => 2027-02-13
2/13/27 => 2027-02-13
07/08/2027 => ask
in 4 hours => 2026-11-24 14:00
in 15 mins => 2026-11-24 10:15
in three weeks => 2026-12-15
six weeks from now => 2027-01-05
in 100 days => 2027-03-04
a year from today => 2027-11-24
a month from tomorrow => 2026-12-25
tonight at 10 => 2026-11-24 22:00
tonight at 8:30pm => 2026-11-24 20:30
this evening at 7 => 2026-11-24 19:00
tomorrow at half past seven => 2026-11-25 07:30
at quarter to six => 2026-11-24 17:45
at five => 2026-11-24 17:00
at two thirty => 2026-11-24 14:30
Thursday at one => 2026-11-26 13:00
Wednesday next week => 2026-12-02
the 10th of December => 2026-12-10
December the 10th => 2026-12-10
on the 28th => 2026-11-28
on the 20th => 2026-12-20
by the 1st => 2026-12-01
last day of the year => 2026-12-31
end of January => 2027-01-31
the start of March => 2027-03-01
mid-February => 2027-02-15
New Year's Eve at 11pm => 2026-12-31 23:00
Christmas morning => 2026-12-25 09:00
day before Christmas => 2026-12-24
three days after Christmas => 2026-12-28
Good Friday => 2027-03-26
every Thursday at 5pm => 2026-11-26 17:00 FREQ=WEEKLY;BYDAY=TH
every third day => 2026-11-24 FREQ=DAILY;INTERVAL=3
every 10 days at noon => 2026-11-24 12:00 FREQ=DAILY;INTERVAL=10
every three months => 2026-11-24 FREQ=MONTHLY;INTERVAL=3
every Saturday morning => 2026-11-28 09:00 FREQ=WEEKLY;BYDAY=SA
every second Monday at 9 => 2026-11-30 09:00 FREQ=WEEKLY;INTERVAL=2;BYDAY=MO
on the first of every month at 8am => 2026-12-01 08:00 FREQ=MONTHLY;BYMONTHDAY=1
every 25th at 10 => 2026-11-25 10:00 FREQ=MONTHLY;BYMONTHDAY=25
the third Thursday of each month => 2026-12-17 FREQ=MONTHLY;BYDAY=3TH
fortnightly on Wednesdays => 2026-11-25 FREQ=WEEKLY;INTERVAL=2;BYDAY=WE
yearly on June 1 => 2027-06-01 FREQ=YEARLY
every workday at 17:30 => 2026-11-24 17:30 FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR
every night at 11pm => 2026-11-24 23:00 FREQ=DAILY
every January 1st => 2027-01-01 FREQ=YEARLY
once a week => 2026-11-24 FREQ=WEEKLY
February 30 => ask
June 31 => ask
next Saturday => ask
this Saturday => 2026-11-28
Tuesday => ask
Tuesday at 3pm => ask
Monday => 2026-11-30
last Monday => 2026-11-23
an hour ago => 2026-11-24 09:00
3 weeks ago => 2026-11-03
next Christmas => 2026-12-25
next month on the 5th => 2026-12-05
the 5th of next month at 2pm => 2026-12-05 14:00
two days from Friday => 2026-11-29
Friday 4 Dec => 2026-12-04
Fri 4/12 => ask
Thu 17:00 => 2026-11-26 17:00
17:00 Thu => 2026-11-26 17:00
5pm Thursday => 2026-11-26 17:00
Thursday 5pm => 2026-11-26 17:00
Thursday, 5 pm => 2026-11-26 17:00
Thursday (5pm) => 2026-11-26 17:00
Thursday - 5pm => 2026-11-26 17:00
Thursday @ 5 => 2026-11-26 17:00
@5pm => 2026-11-24 17:00
Monday to Wednesday => ask
tomorrow, Wednesday => 2026-11-25
tomorrow, Friday => ask
every day at 8am and 8pm => ask
in two and a half hours => 2026-11-24 12:30
12 midnight => 2026-11-25 00:00
between 2 and 4pm on Friday => 2026-11-27 14:00
first thing Monday morning => 2026-11-30 09:00
in about 2 weeks => 2026-12-08
3pm EST tomorrow => ask
every day except Sunday => ask
Monday or Tuesday => ask
tomorrow 5ish => 2026-11-25 17:00
1500 hrs => 2026-11-24 15:00
every mon wed fri at 7am => 2026-11-25 07:00 FREQ=WEEKLY;BYDAY=MO,WE,FR
every day at 8am and 20 => ask
every day until yesterday => ask
every Monday until 1 January 2020 => ask
every hour until tonight => ask
every hour until 6pm => ask
every 5 fridays at 9 => 2026-11-27 09:00 FREQ=WEEKLY;INTERVAL=5;BYDAY=FR
every fifth Friday of the month at 9 => 2027-01-29 09:00 FREQ=MONTHLY;BYDAY=5FR
every 999999 days => ask
""",
}

HABITS = {
    True: {"03/04": "2027-04-03", "3/4/2027": "2027-04-03", "1/12 at 9am": "2026-12-01 09:00", "12/25": "2026-12-25"},
    False: {"03/04": "2027-03-04", "3/4/2027": "2027-03-04", "12/1 at 9am": "2026-12-01 09:00", "25/12": "2026-12-25"},
}
"""What slashes mean to somebody whose habit is known, on 2026-11-23."""

SENTENCES = """
remind me to call Dana on Friday at 3 about the 2 contracts => remind me to call Dana about the 2 contracts => 2026-11-27 15:00
call 555-1234 => call 555-1234 => -
buy 3 apples => buy 3 apples => -
may I have the report => may I have the report => -
Sat down with March => Sat down with March => -
version 10.11 is out => version 10.11 is out => -
buy 3 apples tomorrow => buy 3 apples => 2026-11-24
tomorrow at 9 send the deck to Marta => send the deck to Marta => 2026-11-24 09:00
on Friday remind me to call Dana at 3 => remind me to call Dana => 2026-11-27 15:00
remind me on Friday to call Dana at 3 => remind me to call Dana => 2026-11-27 15:00
send invoice 4711 by Friday => send invoice 4711 => 2026-11-27
pay 10.50 to Ann on 27.11. => pay 10.50 to Ann => 2026-11-27
meet at 10 Downing Street => meet at 10 Downing Street => -
call the team at 4 => call the team => 2026-11-23 16:00
the 3rd floor is cold => the 3rd floor is cold => -
meet on the 3rd floor => meet on the 3rd floor => -
Acme is now in negotiation, 40k => Acme is now in negotiation, 40k => -
follow up with Ray in two weeks about pricing => follow up with Ray about pricing => 2026-12-07
24/7 support for the client => 24/7 support for the client => -
add 1/2 cup of sugar => add 1/2 cup of sugar => -
I wed Anna in the sun => I wed Anna in the sun => -
ask Mark, June and April to join => ask Mark, June and April to join => -
wait a second => wait a second => -
water the plants every Monday and Thursday at 8am => water the plants => 2026-11-26 08:00 FREQ=WEEKLY;BYDAY=MO,TH
every weekday at 8:30 write the stand-up notes => write the stand-up notes => 2026-11-24 08:30 FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR
pay rent on the 1st of every month => pay rent => 2026-12-01 FREQ=MONTHLY;BYMONTHDAY=1
remind me in 20 minutes to take the bread out => remind me to take the bread out => 2026-11-23 10:20
order 12 chairs by the end of the month => order 12 chairs => 2026-11-30
book room 305 for tomorrow at 14:00 => book room 305 => 2026-11-24 14:00
raise prices by 5 percent => raise prices by 5 percent => -
raise prices by 5% next month => raise prices by 5% => 2026-12-01
the meeting lasted 2 hours => the meeting lasted 2 hours => -
read chapter 7 tonight => read chapter 7 => 2026-11-23 20:00
we won 3:1 => we won 3:1 => -
the ratio is 16:9 => the ratio is 16:9 => -
email jan@acme.com about dec => email jan@acme.com about dec => -
open https://acme.com/2026/12/01/news => open https://acme.com/2026/12/01/news => -
it costs 30 to 40 dollars => it costs 30 to 40 dollars => -
Dana has 2 weeks of holiday => Dana has 2 weeks of holiday => -
second opinion from Dr. March => second opinion from Dr. March => -
call mum tomorrow evening => call mum => 2026-11-24 18:00
I need the slides EOD Thursday => I need the slides => 2026-11-26 17:00
let's talk Wednesday at noon, bring the numbers => let's talk, bring the numbers => 2026-11-25 12:00
Renew the passport (by 15 January) => Renew the passport => 2027-01-15
ring 0171 2345678 at 5pm => ring 0171 2345678 => 2026-11-23 17:00
we sold 1200 in 2025 => we sold 1200 in 2025 => -
an apple a day => an apple a day => -
the morning was fine => the morning was fine => -
he is at 3 restaurants => he is at 3 restaurants => -
section 4.2. is wrong => section 4.2. is wrong => -
my 9 to 5 job => my 9 to 5 job => -
mail the Q3 report to Sam => mail the Q3 report to Sam => -
what happened in March with Acme? => what happened in March with Acme? => -
march to the office => march to the office => -
the weekly report needs a chart => the weekly report needs a chart => -
remind me to prepare the Friday meeting tomorrow at 4 => remind me to prepare the Friday meeting => 2026-11-24 16:00
finish it before noon on Wednesday please => finish it please => 2026-11-25 12:00
remind me at noon: lunch with 4 people => remind me: lunch with 4 people => 2026-11-23 12:00
Dentist 12/3 at 9:30 => Dentist 12/3 at 9:30 => ask
gym Tue 7am => gym => 2026-11-24 07:00
plan the offsite for the 12th of January with 20 guests => plan the offsite with 20 guests => 2027-01-12
Nov 30: board call with 5 people => board call with 5 people => 2026-11-30
""".strip()
SENTENCES_NOW = "2026-11-23 10:00 America/New_York"


def moment(text: str) -> datetime:
    """`2026-11-23 10:00 America/New_York` as an aware moment."""
    day, time, zone = text.split()
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=ZoneInfo(zone))


def phrases() -> Iterator[Phrase]:
    """Every phrase of every table."""
    lines = [(now, line) for now, table in TABLES.items() for line in table.strip().splitlines()]
    for number, (now, line) in enumerate(lines):
        text, expected = line.split(" => ")
        yield Phrase(now=moment(now), text=text, expected=expected, held_out=number % 3 == 2 and number < FIRST)


def sentences() -> Iterator[Sentence]:
    """Every sentence."""
    for line in SENTENCES.splitlines():
        text, remains, expected = line.split(" => ")
        yield Sentence(now=moment(SENTENCES_NOW), text=text, remains=remains, expected=expected)
