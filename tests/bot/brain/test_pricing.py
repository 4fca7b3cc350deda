"""Costs come from one dated file; what it does not list is dear, never free."""

from dataclasses import replace
from datetime import date

import pytest

from bot.brain.pricing import Prices, Rate
from bot.domain.thought import Usage

MILLION = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
SMALL = Usage(input_tokens=1_000, output_tokens=500)


@pytest.fixture(scope="module")
def prices() -> Prices:
    return Prices.load()


def test_the_shipped_file_is_dated_and_priced_above_nothing(prices: Prices) -> None:
    assert prices.as_of >= date(2026, 11, 1)
    assert {"openai", "anthropic"} <= set(prices.tables)
    listed = [(name, price.rate) for table in prices.tables.values() for name, price in table.items()]
    assert all(rate.input > 0 and (rate.output > 0 or "embedding" in name) for name, rate in listed)


def test_a_listed_model_costs_what_is_listed(prices: Prices) -> None:
    assert prices.cost_usd("openai", "gpt-4-turbo", SMALL, level="a") == pytest.approx(0.010 + 0.015)
    assert prices.cost_usd("anthropic", "claude-sonnet-5-5", SMALL, level="a") == pytest.approx(0.002 + 0.005)


@pytest.mark.parametrize(
    ("provider", "dated", "plain"),
    [
        ("openai", "gpt-4o-2024-11-20", "gpt-4o"),
        ("openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai", "gpt-4-turbo-2024-04-09", "gpt-4-turbo"),
        ("openai", "gpt-4-0613", "gpt-4"),
        ("anthropic", "claude-3-5-sonnet-20241022", "claude-3-5-sonnet"),
        ("anthropic", "claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
        ("anthropic", "claude-opus-4-20250514", "claude-opus-4"),
    ],
)
def test_a_dated_id_costs_what_its_plain_name_costs(prices: Prices, provider: str, dated: str, plain: str) -> None:
    assert prices.known(provider, dated, level="a")
    assert prices.cost_usd(provider, dated, SMALL, level="a") == prices.cost_usd(provider, plain, SMALL, level="a")


def test_a_dated_id_listed_itself_keeps_its_own_price(prices: Prices) -> None:
    assert prices.cost_usd("openai", "gpt-4o-2024-05-13", MILLION, level="a") == pytest.approx(20)


@pytest.mark.parametrize("model", ["gpt-7-zenith", "gpt-6.1-sol-ultra", "openai/gpt-4o", ""])
def test_an_unknown_model_is_reckoned_at_the_dearest(prices: Prices, model: str) -> None:
    """A longer name may be a dearer model, so that only dates and "latest" are taken for the same one."""
    assert not prices.known("openai", model, level="a")
    every = [prices.cost_usd("openai", listed, SMALL, level="a") for listed in prices.tables["openai"]]
    assert prices.cost_usd("openai", model, SMALL, level="a") >= max(every) > 0


def test_an_unknown_vendor_is_reckoned_at_the_dearest_of_all(prices: Prices) -> None:
    dearest = max(prices.cost_usd(vendor, "unknown", SMALL, level="a") for vendor in prices.tables)
    assert prices.cost_usd("newcomer", "x", SMALL, level="a") >= dearest


def test_a_long_input_is_charged_at_its_higher_rate_as_a_whole(prices: Prices) -> None:
    at, over = Usage(input_tokens=272_000), Usage(input_tokens=272_001)
    assert prices.cost_usd("openai", "gpt-6.1-sol", at, level="a") == pytest.approx(0.272 * 2)
    assert prices.cost_usd("openai", "gpt-6.1-sol", over, level="a") == pytest.approx(0.272001 * 4)


@pytest.mark.parametrize("provider", ["ollama", "local"])
def test_ones_own_machines_cost_nothing(prices: Prices, provider: str) -> None:
    assert prices.cost_usd(provider, "anything", MILLION, level="a") == 0
    assert prices.known(provider, "anything", level="a")


def test_the_owners_own_price_counts_on_its_level_alone(prices: Prices) -> None:
    own = replace(prices, own={"proxy": Rate(input=0.0, output=0.0)})
    assert own.cost_usd("openai", "gpt-4-turbo", MILLION, level="proxy") == 0
    assert own.known("openai", "mine", level="proxy")
    assert not own.known("openai", "mine", level="a")
    assert own.cost_usd("openai", "gpt-4-turbo", MILLION, level="a") == prices.cost_usd("openai", "gpt-4-turbo", MILLION, level="a") > 0
