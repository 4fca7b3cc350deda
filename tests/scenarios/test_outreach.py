"""Mail that nobody asked for: contacts that the mails themselves keep, drafts that wait for a yes, a hard measure a day, and stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.brain.personality import personality_of
from bot.config import IdentityConfig, PersonConfig
from bot.domain.errand import Errand
from bot.domain.message import Inbound, Outgoing
from bot.services.correspondence import meet
from bot.services.follow_ups import FollowUps, due
from bot.services.journal import record
from storage.models.affairs import Contact
from tests.clock import FakeClock
from tests.machine import PATIENCE_SECONDS
from tests.scenarios.house import FakeDoor, House, open_house, until

pytestmark = pytest.mark.either

MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
"""Ten in the morning in Berlin, where Allan is."""
EVE = "eve@else"


class Office(House):
    """A house with a mailbox, and Allan on Slack."""

    chat: FakeDoor
    post: FakeDoor

    async def says(self, text: str) -> str:
        """What Allan writes, and the last thing he is told then."""
        count = len(self.chat.took)
        await self.app.front.receive(self.chat.says(text, account="allan"))
        await until(lambda: len(self.chat.took) > count)
        await settled(self)
        return self.chat.texts[-1]

    async def writes(self, text: str = "Shall we meet?", account: str = EVE, **more: Any) -> None:
        """Somebody writes a mail."""
        await self.app.front.receive(letter(self.post, text, account, **more))
        await settled(self)

    async def contact(self, email: str = EVE) -> Contact:
        async with self.app.database.reading() as work:
            [found] = await work.contacts.by_email(self.owner.id, email)
        return found

    async def knows(self, email: str, **values: Any) -> Contact:
        """A contact of Allan's."""
        async with self.app.database.unit_of_work() as work:
            made = await meet(work, self.owner.id, name=email.partition("@")[0].title(), email=email, now=self.app.clock.now())
            await work.contacts.change(made.id, code=made.code, **values)
        return await self.contact(email)

    async def look(self) -> None:
        """The rounds are gone once."""
        for each in self.app.timekeeper._rounds:
            if isinstance(each, FollowUps):
                each._next = None
            await each.look(self.app.clock.now())
        await settled(self)

    def offered(self) -> list[Outgoing]:
        """The drafts that Allan was shown."""
        return [each for each in self.chat.took if each.buttons and each.text.startswith("**Mail to")]

    async def slider(self, value: int) -> None:
        what = {"context": "email", "name": "gandhi", "value": str(value), "source": "command", "at": self.app.clock.now()}
        async with self.app.database.unit_of_work() as work:
            await work.settings.add(user_id=self.owner.id, **what)


def letter(post: FakeDoor, text: str, account: str, *, root: str = "<1@x>", subject: str = "Lunch", **more: Any) -> Inbound:
    thread = {"subject": subject, "from": account, "message_id": root, "text": text} | more.pop("thread", {})
    return post.says(text, account=account, conversation=f"{account}/{root}", thread=thread, **more)


async def settled(house: House) -> None:
    """Nothing is under way."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            inbox, outbox = await house.counts()
            if not (set(outbox) & {"ready", "sending", "streaming"}) and not (set(inbox) & {"received", "claimed"}):
                return
            await asyncio.sleep(0.005)


@asynccontextmanager
async def open_office(url: str, folder: Path, clock: FakeClock, **more: Any) -> AsyncIterator[Office]:
    chat, post = FakeDoor("slack"), FakeDoor("email", answers_strangers=False)
    people = [PersonConfig(name="Allan", role="owner", identities=(IdentityConfig(platform="slack", id="allan"),))]
    async with open_house(url, folder, doors=[chat, post], people=people, clock=clock, **more) as house:
        office = Office(app=house.app, owner=house.owner, model=house.model, push=house.push)
        office.chat, office.post = chat, post
        yield office


@pytest.fixture
async def office(database_url: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Office]:
    clock.moment = MONDAY
    async with open_office(database_url, tmp_path, clock) as opened:
        await opened.says("good morning")
        yield opened


# What the mails know


async def test_whoever_writes_a_genuine_mail_is_a_contact_from_then_on(office: Office):
    await office.writes("Shall we meet?")
    met = await office.contact()
    assert (met.name, met.email, met.last_heard_at, met.last_written_at) == ("Eve@Else", EVE, MONDAY, None)
    office.app.clock.advance(seconds=60)
    assert "On its way" in await office.says("approve")
    assert (await office.contact()).last_written_at == office.app.clock.now()
    async with office.app.database.reading() as work:
        assert [line.text for line in await work.activities.about(met.id, limit=5)] == ["Mail from Eve@Else: Lunch"]


@pytest.mark.parametrize("more", [{"is_verified": False}, {"wants_reply": False}])
async def test_robots_and_those_for_whom_nobody_vouches_are_no_contacts(office: Office, more: dict[str, bool]):
    await office.writes("Shall we meet?", **more)
    async with office.app.database.reading() as work:
        assert await work.contacts.of(office.owner.id) == []


async def test_a_mail_of_the_household_makes_no_contact(database_url: str, tmp_path: Path, clock: FakeClock):
    post = FakeDoor("email", answers_strangers=False)
    people = [PersonConfig(name="Grace", identities=(IdentityConfig(platform="email", id="grace@work"),))]
    async with open_house(database_url, tmp_path, doors=[post], people=people, clock=clock) as house:
        await house.app.front.receive(letter(post, "hello", "grace@work"))
        async with house.app.database.reading() as work:
            assert await work.contacts.of(house.owner.id) == []
        async with house.app.database.unit_of_work() as work:
            grace = await meet(work, house.owner.id, name="Grace", email="Grace@work", now=clock.now())
            await work.contacts.change(grace.id, last_written_at=clock.now() - timedelta(days=30), follow_ups=1)
        await house.app.front.receive(letter(post, "it is fine", "grace@work", root="<2@x>"))
        async with house.app.database.reading() as work:
            [grace] = await work.contacts.of(house.owner.id)
        assert due(grace, now=clock.now(), days=7) == [], "who answers from within the household is silent no more"


# Drafts


async def test_a_silent_contact_is_followed_up_in_their_thread_once_the_owner_agrees(office: Office):
    await office.writes("Shall we meet?")
    office.app.clock.advance(seconds=60)
    await office.says("approve")
    office.app.clock.advance(seconds=timedelta(days=8).total_seconds())  # 14 to 2 days by the slider; 7 as it stands
    for _ in range(3):
        await office.look()
    [draft] = office.offered()
    assert [button.command.split()[0] for button in draft.buttons] == ["/approve", "/edit", "/reject"]
    assert "no answer since Monday 23 November 2026" in draft.text
    asked = office.model.prompts[-1].lines[0].text
    assert "<mail>\nEve@Else wrote:\nShall we meet?\n</mail>" in asked
    assert "Robbie wrote:" in asked
    assert len(office.post.took) == 1, "nothing leaves before the yes"
    assert "On its way to Eve@Else (eve@else)" in await office.says(draft.buttons[0].command)
    assert "approved already" in await office.says(draft.buttons[0].command)
    sent = office.post.took[-1]
    assert (sent.kind, sent.address.conversation, sent.thread["subject"]) == ("outreach", "eve@else/<1@x>", "Lunch")
    assert (await office.contact()).follow_ups == 1


async def test_without_a_model_a_plain_draft_is_made_by_code(office: Office):
    await office.knows("bob@else", next_step="the offer", next_step_on=MONDAY.date())
    office.model.fall()
    await office.look()
    assert "> I am writing about the offer. Could you tell us how things stand?" in office.offered()[0].text


async def test_who_is_rejected_or_silent_is_not_offered_again_at_once_and_never_more_than_three_times(office: Office):
    await office.knows("bob@else", last_written_at=MONDAY - timedelta(days=30))
    for _ in range(8):
        await office.look()
        if (await office.says("/approve")) != "Nothing waits for your decision.":
            await office.says("reject")
        office.app.clock.advance(seconds=timedelta(days=7).total_seconds())
    assert len(office.offered()) == 3


async def test_nothing_is_drafted_on_a_weekend_at_night_or_to_those_who_are_not_to_be_written_to(office: Office, clock: FakeClock):
    await office.knows("bob@else", follow_up_at=MONDAY, do_not_write="unsubscribed")
    await office.look()
    await office.knows("joe@else", follow_up_at=MONDAY)
    for moment in (MONDAY + timedelta(hours=12), MONDAY + timedelta(days=5), MONDAY + timedelta(days=6)):
        clock.moment = moment
        await office.look()
    assert office.offered() == []


async def test_a_private_word_about_a_contact_is_never_in_the_draft(office: Office):
    bob = await office.knows("bob@else", detail="pays up to 60k")
    await office.says("I talked to Bob, he is desperate")
    async with office.app.database.reading() as work:
        [said, *_] = await work.messages.said_by(office.owner.id, limit=1)
    async with office.app.database.unit_of_work() as work:
        errand = Errand(person=office.owner, key="k", why="", source_id=said.id)
        await record(work, errand, "contact.talk", "talked to Bob", now=MONDAY, contact_id=bob.id)
    await office.says("/follow bob about the offer")
    prompt = office.model.prompts[-1]
    assert "the offer" in prompt.lines[0].text
    assert "desperate" not in str(prompt)
    assert "60k" not in str(prompt)


# The command


async def test_follow_asks_who_is_meant_and_knows_a_new_address(office: Office):
    await office.knows("bob@else")
    await office.knows("bobby@else")
    assert "Which one: Bob (`" not in await office.says("/follow bob about tea"), "an exact name is meant"
    assert (await office.says("/follow bo about tea")).startswith("Which one: Bob (")
    assert (await office.says("/follow nobody")).startswith("I know nobody called “nobody”")
    await office.says("/followup Ann@Else.org about the lease")
    assert "**Mail to ann (ann@else.org): the lease**" in office.offered()[-1].text
    assert "Whom shall I write to?" in await office.says("/follow")


async def test_somebody_may_be_left_alone_and_written_to_again(office: Office):
    await office.knows("bob@else")
    assert "I will not write to Bob any more" in await office.says("/follow stop bob")
    assert "is not to be written to (you asked me not to)" in await office.says("/follow bob about tea")
    await office.says("/undo")
    assert (await office.contact("bob@else")).do_not_write == ""
    await office.says("/follow stop bob")
    assert "I may write to Bob again" in await office.says("/follow again bob")
    assert (await office.contact("bob@else")).do_not_write == ""


async def test_an_address_that_wants_no_mail_gets_none_by_another_name_either(office: Office):
    await office.knows("bob@else.org", do_not_write="unsubscribed")
    await office.says("/contact remove bob")
    assert "is not to be written to (unsubscribed)" in await office.says("/follow Bob@Else.org about tea")
    await office.says("/contact Robert, BOB@else.org")
    assert "is not to be written to (unsubscribed)" in await office.says("/follow bob about tea")
    await office.says("/follow again bob")
    assert "waits for your yes" in await office.says("/follow bob about tea")


async def test_in_a_shared_channel_nobody_is_spoken_of(office: Office):
    await office.knows("bob@else")
    await office.app.front.receive(office.chat.says("/follow bob", account="allan", conversation="C1", shared=True))
    await settled(office)
    assert "between you and me" in office.chat.texts[-1]


# The measure


async def approve_all(office: Office) -> list[str]:
    return [await office.says(draft.buttons[0].command) for draft in office.offered()]


async def test_what_is_beyond_the_days_measure_goes_by_itself_the_next_morning_and_once(office: Office, clock: FakeClock):
    await office.slider(1)
    for name in ("ann", "bob"):
        await office.knows(f"{name}@else")
        await office.says(f"/follow {name} about tea")
    first, second = await approve_all(office)
    assert "On its way to Ann" in first
    assert second == "Today's measure of 1 is used up; this one goes tomorrow first thing."
    clock.moment = MONDAY.replace(hour=23)  # past midnight in Berlin, and not yet morning
    await office.look()
    assert len(office.post.took) == 1
    clock.moment = datetime(2026, 11, 24, 7, 0, 1, tzinfo=UTC)
    for _ in range(3):
        await office.look()
    assert [sent.address.conversation.partition("/")[0] for sent in office.post.took] == ["ann@else", "bob@else"]


async def test_a_slider_that_was_lowered_during_the_day_counts_what_went_before(office: Office):
    await office.slider(10)
    for number in range(4):
        await office.knows(f"p{number}@else")
        await office.says(f"/follow p{number} about tea")
    drafts = office.offered()
    for draft in drafts[:2]:
        await office.says(draft.buttons[0].command)
    await office.slider(2)
    assert "used up" in await office.says(drafts[2].buttons[0].command)
    await office.slider(10)
    assert "On its way" in await office.says(drafts[3].buttons[0].command)


@pytest.mark.both
async def test_two_hubs_at_once_never_pass_the_measure(postgres_url: str, tmp_path: Path, clock: FakeClock):
    clock.moment = MONDAY
    async with open_office(postgres_url, tmp_path, clock) as one, open_office(postgres_url, tmp_path, clock) as other:
        await one.slider(4)
        async with one.app.database.reading() as work:
            most = (await personality_of(work, one.owner, context="email", now=MONDAY)).emails_per_day
        for number in range(most + 4):
            await one.knows(f"p{number}@else")
            await one.says(f"/follow p{number} about tea")
        async with one.app.database.reading() as work:
            codes = [each.code for each in await work.proposals.waiting(one.owner.id, MONDAY)]
        hubs = [one, other]
        approve = [hubs[n % 2].app.front._approvals.approve(one.owner, code) for n, code in enumerate(codes)]
        said = await asyncio.gather(*approve)
        assert sum("On its way" in each for each in said) == most
        assert sum("used up" in each for each in said) == 4
        await settled(one)
        assert len(one.post.took) + len(other.post.took) == most


@pytest.mark.parametrize(("began", "hours"), [(datetime(2025, 10, 25, 22, tzinfo=UTC), 25), (datetime(2026, 3, 28, 23, tzinfo=UTC), 23)])
async def test_a_day_is_as_long_as_the_clocks_make_it(office: Office, clock: FakeClock, began: datetime, hours: int):
    """In Berlin the clocks change on these days; each has one mail's measure from its midnight to the next."""
    await office.slider(1)
    clock.moment = began
    for name in ("ann", "bob", "joe"):
        await office.knows(f"{name}@else")
        await office.says(f"/follow {name} about tea")
    ann, bob, joe = office.offered()
    assert "On its way" in await office.says(ann.buttons[0].command)
    clock.moment = began + timedelta(hours=hours, seconds=-1)
    assert "used up" in await office.says(bob.buttons[0].command)
    clock.moment = began + timedelta(hours=hours)
    assert "On its way" in await office.says(joe.buttons[0].command)


# The ladder


@pytest.mark.parametrize(("level", "is_told"), [("do", False), ("tell", True)])
async def test_what_the_ladder_leaves_to_robbie_goes_without_a_question(office: Office, level: str, is_told: bool):
    await office.slider(1)
    for name in ("ann", "bob"):
        await office.knows(f"{name}@else", follow_up_at=MONDAY)
    assert level in await office.says(f"/autonomy mail.follow_up {level}")
    await office.look()
    assert office.offered() == []
    assert len(office.post.took) == 1, "no more than the day's measure"
    assert office.chat.texts[-1].startswith("On its way") == is_told
    assert await office.says("/follow bob about tea") == "I have drafted a mail to Bob (bob@else); it waits for your yes."


async def test_a_model_may_have_a_mail_drafted_and_a_text_from_outside_only_proposed(office: Office):
    await office.knows("bob@else")
    tool = await office.app.rooms.gate._find_tool("write_mail")
    asked = tool.arguments(to="bob", about="the lease")
    errand = Errand(person=office.owner, key="turn-1", why="you asked", actor="robbie")
    for _ in range(2):
        assert "Bob (bob@else)" in await office.app.rooms.gate.run(tool, asked, errand)
    await settled(office)
    [draft] = office.offered()
    assert "On its way" in await office.says(draft.buttons[0].command)
    await office.says("/autonomy mail.write do")
    await office.app.rooms.gate.run(tool, asked, replace(errand, key="turn-2", is_untrusted=True))
    assert len(office.post.took) == 1


@pytest.mark.both
async def test_of_two_hubs_one_makes_the_days_round(postgres_url: str, tmp_path: Path, clock: FakeClock):
    clock.moment = MONDAY
    async with open_office(postgres_url, tmp_path, clock) as one, open_office(postgres_url, tmp_path, clock) as other:
        for name in ("ann", "bob"):
            await one.knows(f"{name}@else", follow_up_at=MONDAY)
        await asyncio.gather(one.look(), other.look())
        assert len(one.model.prompts) + len(other.model.prompts) == 2
        async with one.app.database.reading() as work:
            assert len(await work.proposals.waiting(one.owner.id, MONDAY)) == 2


async def test_a_round_that_died_is_taken_up_and_offers_nobody_twice(office: Office, clock: FakeClock):
    for name in ("ann", "bob"):
        await office.knows(f"{name}@else", follow_up_at=MONDAY)
    office.model.slow_at = "“Bob”"
    office.model.hold()
    dying = asyncio.create_task(office.look())
    await until(lambda: len(office.model.prompts) == 2)
    dying.cancel()
    office.model.slow_at = ""
    office.model.gate.set()
    follow_ups = next(each for each in office.app.timekeeper._rounds if isinstance(each, FollowUps))
    clock.advance(seconds=13 * 60)
    follow_ups._me = "another process"
    await office.look()
    assert sorted(draft.text.split()[2] for draft in office.offered()) == ["Ann", "Bob"]


# Stops


async def test_an_answer_ends_the_series_and_drops_what_waits(office: Office):
    await office.writes("Shall we meet?")
    office.app.clock.advance(seconds=60)
    await office.says("approve")
    office.app.clock.advance(seconds=timedelta(days=8).total_seconds())
    await office.look()
    [draft] = office.offered()
    await office.writes("Sorry, I was away.")
    assert any(text.startswith("I have dropped “Mail to Eve@Else") for text in office.chat.texts)
    assert "withdrawn already" in await office.says(draft.buttons[0].command)
    met = await office.contact()
    assert (met.follow_ups, met.follow_up_at, met.last_heard_at) == (0, None, office.app.clock.now())


async def test_an_answer_drops_also_what_was_approved_and_waits_for_its_day(office: Office, clock: FakeClock):
    await office.slider(1)
    for name in ("ann", "bob"):
        await office.knows(f"{name}@else")
        await office.says(f"/follow {name} about tea")
    await approve_all(office)
    await office.writes("hello", account="bob@else")
    clock.moment = MONDAY + timedelta(days=1)
    await office.look()
    assert [sent.address.conversation.partition("/")[0] for sent in office.post.took] == ["ann@else"]


@pytest.mark.parametrize(
    ("text", "subject"),
    [("Stop.", "Re: Lunch"), ("Please don't write to me again. Thanks, Eve", "Re: x"), ("This is automatic.", "unsubscribe")],
)
async def test_who_wants_no_more_mail_gets_none_not_even_a_word_about_it(office: Office, text: str, subject: str):
    await office.writes("Shall we meet?")
    await office.says("approve")
    await office.writes(text, subject=subject)
    assert (await office.contact()).do_not_write == "unsubscribed"
    assert "asks not to be written to" in office.chat.texts[-1]
    assert len(office.post.took) == 1
    assert await office.says("/approve") == "Nothing waits for your decision."


async def test_a_mail_that_only_begins_like_a_stop_is_an_ordinary_one(office: Office):
    for text in ("Stop by on Friday!", "Don't mail me the contract, bring it.", "Please stop the payment to Acme today.", "Never mind."):
        await office.writes(text, account=f"p{len(text)}@else")
    async with office.app.database.reading() as work:
        assert {each.do_not_write for each in await work.contacts.of(office.owner.id)} == {""}
        assert len(await work.proposals.waiting(office.owner.id, MONDAY)) == 4


async def test_a_report_that_a_mail_is_lost_ends_it_once_and_only_by_the_mails_own_id(office: Office):
    await office.knows("bob@else")
    await office.says("/follow bob about tea")
    await office.says(office.offered()[0].buttons[0].command)
    sent = office.post.took[-1]
    assert sent.address.conversation == f"bob@else/<{sent.id}@home>"
    robot = {"account": "mailer-daemon@else", "wants_reply": False, "is_verified": False}
    for lost in (f"<{office.owner.id}@home>", "<nonsense>", f"<{sent.id}@home>", f"<{sent.id}@home>"):
        await office.writes("failed", thread={"lost": lost, "status": "5.1.1"}, **robot)
    assert (await office.contact("bob@else")).do_not_write == "bounced"
    assert sum("out of reach" in text for text in office.chat.texts) == 1
