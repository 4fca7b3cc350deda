"""Deals are read out of plain words: what they are called, where they stand, and what they are worth."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import ToolFailed
from bot.hub.brief_commands import _parted
from bot.services.affairs import LONGEST, Unsure
from bot.services.contacts import parse_contact
from bot.services.dates import When, without
from bot.services.deals import Deals, parse_deal, pipeline, told_money
from storage.models.affairs import Stage
from tests.bot.services.test_tasks import errand_of
from tests.stage import Stage as House


@pytest.fixture
def deals(stage: House) -> Deals:
    return Deals(database=stage.database, clock=stage.clock)


@pytest.mark.parametrize(
    ("words", "cents", "currency"),
    [
        ("Acme 40k", 40_000_00, None),
        ("Acme 1.2m EUR", 1_200_000_00, "EUR"),
        ("Acme, $3,500.50", 3_500_50, "USD"),
        ("Acme €3.500,50", 3_500_50, "EUR"),
        ("Acme 12 000 €", 12_000_00, "EUR"),
        ("Acme, 1'250'000 CHF", 1_250_000_00, "CHF"),
        ("Acme 3.500 EUR", 3_500_00, "EUR"),
        ("Acme 1,5m", 1_500_000_00, None),
        ("Acme GBP 99.90", 99_90, "GBP"),
        ("Acme 40000", 40_000_00, None),
        ("Acme, US$40k.", 40_000_00, "USD"),
        ("Acme, value £3,5", 3_50, "GBP"),
        ("Acme, -5", None, None),
        ("Acme, 1e400", None, None),
        ("Acme 2 million", 2_000_000_00, None),
        ("Office 2027", None, None),
        ("Windows 11", None, None),
        ("Acme 60%", None, None),
        ("Route 66b", None, None),
    ],
)
def test_an_amount_is_read_as_people_write_it_and_a_year_is_none(words: str, cents: int | None, currency: str | None):
    _, values = parse_deal(words)
    assert (values.get("value_cents"), values.get("currency")) == (cents, currency)


@pytest.mark.parametrize(
    ("words", "title", "values"),
    [
        ("Acme, negotiation, 40k", "Acme", {"stage": Stage.NEGOTIATION, "value_cents": 40_000_00}),
        ("Acme is now in negotiation, 40k", "Acme", {"stage": Stage.NEGOTIATION, "value_cents": 40_000_00}),
        ("Lead pipes proposal 60%", "Lead pipes", {"stage": Stage.PROPOSAL, "probability": 60}),
        ("Acme, 12.5 %", "Acme", {"probability": 12}),
        ("Acme won", "Acme", {"stage": Stage.WON}),
        ("Acme, next: send the contract", "Acme", {"next_step": "send the contract"}),
        ("Office 2027", "Office 2027", {}),
    ],
)
def test_what_is_said_of_a_deal_is_told_from_its_name(words: str, title: str, values: dict[str, object]):
    assert parse_deal(words) == (title, values)


@pytest.mark.parametrize("page", ["x" + " " * 20_000 + "y", "x" + "\n" * 20_000 + "y", "1" * 20_000, "next " * 5_000])
def test_a_page_of_blanks_or_figures_holds_nobody_up(page: str):
    assert len(parse_deal(page)[0]) <= LONGEST
    assert len(parse_contact(page).get("name", "")) <= LONGEST
    assert _parted(f"{page},,,,{'/' * 5_000}until Friday")[1] == "until Friday"
    assert without(f"tomorrow {page}", When(date=date(2026, 11, 24), spans=((0, 8),)))


@given(st.text(max_size=80))
def test_any_words_can_be_read(words: str):
    title, values = parse_deal(words)
    assert isinstance(title, str)
    assert 0 <= values.get("value_cents", 0) < 10**17


async def test_a_deal_is_begun_and_then_brought_up_to_date(stage: House, deals: Deals):
    errand = errand_of(stage.allan)
    assert (await deals.take(errand, "Acme, lead, 40k EUR"))[1] == "Added: Acme, lead, 40,000 EUR, 10 %."
    told = (await deals.take(errand_of(stage.allan), "acme is now in negotiation, next: send the contract on Friday"))[1]
    assert told == "Changed: Acme, negotiation, 40,000 EUR, 75 %, next: send the contract on Friday 27 November."
    assert "know that already" in (await deals.take(errand_of(stage.allan), "Acme negotiation"))[1]
    (row,) = await deals.standing(errand.person)
    assert (row.stage, row.probability, row.closed_at) == ("negotiation", 75, None)
    await deals.take(errand_of(stage.allan), "Acme won")
    (row,) = await deals.standing(errand.person)
    assert (row.probability, row.closed_at) == (100, stage.clock.now())


async def test_the_same_errand_begins_one_deal(stage: House, deals: Deals):
    for _ in range(3):
        assert (await deals.take(errand_of(stage.allan, "E1"), "Acme 40k"))[1] == "Added: Acme, lead, 40,000 USD, 10 %."
    assert len(await deals.standing(errand_of(stage.allan).person)) == 1


async def test_where_the_name_is_not_clear_it_is_asked(stage: House, deals: Deals):
    for words in ("Acme rollout 40k", "Acme support 5k"):
        await deals.take(errand_of(stage.allan), words)
    with pytest.raises(Unsure, match="More than one deal"):
        await deals.take(errand_of(stage.allan), "Acme negotiation")
    with pytest.raises(ToolFailed, match="Which deal"):
        await deals.take(errand_of(stage.allan), "40k")
    with pytest.raises(ToolFailed, match="Did you mean `negotiation`"):
        await deals.take(errand_of(stage.allan), "Acme, negotation, 40k")
    with pytest.raises(ToolFailed, match="“-5k” is no amount"):
        await deals.take(errand_of(stage.allan), "Initech, -5k")
    with pytest.raises(ToolFailed, match="0 % to 100 %"):
        await deals.take(errand_of(stage.allan), "Acme support, 140%")


async def test_the_pipeline_weighs_each_stage_and_currency_by_itself(stage: House, deals: Deals):
    for words in ("Acme negotiation 40k", "Initech negotiation 10k EUR", "Hooli negotiation 60k", "Globex lead 100k", "Umbrella won 9k"):
        await deals.take(errand_of(stage.allan), words)
    assert pipeline(await deals.standing(errand_of(stage.allan).person)) == [
        "negotiation: 1 worth 10,000 EUR, weighted 7,500 EUR",
        "negotiation: 2 worth 100,000 USD, weighted 75,000 USD",
        "lead: 1 worth 100,000 USD, weighted 10,000 USD",
    ]
    assert told_money(3_500_50, "USD") == "3,500.50 USD"


async def test_an_edit_changes_what_it_names_and_the_name_only_where_one_is_given(stage: House, deals: Deals):
    row, _ = await deals.take(errand_of(stage.allan), "Acme 40k")
    assert await deals.edit(errand_of(stage.allan), row, "60k") == "Changed: Acme, lead, 60,000 USD, 10 %."
    assert await deals.edit(errand_of(stage.allan), row, "Acme rollout, proposal") == "Changed: Acme rollout, proposal, 60,000 USD, 50 %."
    assert await deals.done(errand_of(stage.allan), row) == "Changed: Acme rollout, won, 60,000 USD."
