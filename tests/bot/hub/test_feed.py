"""The feed: who watches is told at once, who is slow is told that something was left out, and nothing is kept for nobody."""

from __future__ import annotations

from bot.domain.clock import new_id
from bot.hub.feed import BACKLOG, Feed, Grown, Lagged, Said

HERE, EVENT = new_id(), new_id()


async def test_watcher_is_told_in_order() -> None:
    feed = Feed()
    with feed.subscribe(HERE) as news:
        feed.publish(HERE, Grown(event_id=EVENT, text="a", whole=True))
        feed.publish(HERE, Said(message_id=new_id(), reply_to=EVENT))
        assert isinstance(await news.next(1), Grown)
        assert isinstance(await news.next(1), Said)
        assert await news.next(0) is None


async def test_other_conversations_are_not_told() -> None:
    feed = Feed()
    with feed.subscribe(new_id()) as news:
        feed.publish(HERE, Said(message_id=new_id()))
        assert await news.next(0) is None


def test_growing_text_is_known_until_the_reply_is_recorded() -> None:
    feed = Feed()
    feed.publish(HERE, Grown(event_id=EVENT, text="Hel", whole=True))
    feed.publish(HERE, Grown(event_id=EVENT, text="lo"))
    assert feed.growing(HERE) == {EVENT: "Hello"}
    feed.publish(HERE, Grown(event_id=EVENT, text="Bye", whole=True))
    assert feed.growing(HERE) == {EVENT: "Bye"}
    feed.publish(HERE, Said(message_id=new_id(), reply_to=EVENT))
    assert feed.growing(HERE) == {}


async def test_slow_reader_is_told_of_the_gap_and_then_goes_on() -> None:
    feed = Feed()
    with feed.subscribe(HERE) as news:
        for _ in range(BACKLOG * 2):
            feed.publish(HERE, Grown(event_id=EVENT, text="x"))
        got = [await news.next(0) for _ in range(BACKLOG)]
        assert isinstance(got[-1], Lagged)
        assert await news.next(0) is None
        feed.publish(HERE, Said(message_id=new_id()))
        assert isinstance(await news.next(0), Said)


def test_nothing_is_kept_of_conversations_that_are_over() -> None:
    feed = Feed()
    for _ in range(1000):
        conversation = new_id()
        with feed.subscribe(conversation):
            feed.publish(conversation, Grown(event_id=EVENT, text="x"))
            feed.publish(conversation, Said(message_id=new_id(), reply_to=EVENT))
        assert not feed.is_watched(conversation)
    assert not feed._readers
    assert not feed._growing
