"""The doctor: what is well, what is not, and how to mend it; it changes nothing and spends nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from bot.app import App, build
from bot.brain.call import Rung
from bot.config import BrainConfig, Config, DatabaseConfig, LevelConfig, McpConfig, RobbieConfig, ToolsConfig
from bot.domain.errors import CredentialsRejected, ProviderError, ProviderUnavailable
from bot.domain.finding import Finding, Status
from tests.clock import FakeClock
from tests.fakes import FakeProvider


class FakeVendor(FakeProvider):
    """FAKE: a level whose vendor lists these models, or fails."""

    def __init__(self, *served: str, model: str, provider: str = "openai", error: ProviderError | None = None) -> None:
        super().__init__("hello", model=model, provider=provider)
        self._served, self._error = served, error

    async def models(self) -> tuple[str, ...]:
        if self._error is not None:
            raise self._error
        return self._served


async def examined(
    folder: Path, *providers: FakeProvider, levels: tuple[LevelConfig, ...] = (), clock: FakeClock | None = None
) -> list[Finding]:
    async with _app(folder, *providers, levels=levels, clock=clock) as app:
        return [finding async for finding in app.doctor.examine()]


def _app(
    folder: Path, *providers: FakeProvider, levels: tuple[LevelConfig, ...] = (), clock: FakeClock | None = None, daily_usd: float = 5.0
) -> App:
    config = Config(
        robbie=RobbieConfig(data_dir=folder),
        database=DatabaseConfig(url=f"sqlite+aiosqlite:///{folder}/robbie.db"),
        brain=BrainConfig(levels=levels, daily_usd=daily_usd),
    )
    rungs = [Rung(level=f"l{n}", provider=one, context=4096, max_output_tokens=100) for n, one in enumerate(providers)]
    return build(config, environ={}, rungs=rungs, clock=clock)


def about(findings: list[Finding], part: str) -> Finding:
    return next(finding for finding in findings if finding.part == part)


async def test_one_level_that_answers_is_enough(tmp_path: Path):
    findings = await examined(
        tmp_path, FakeVendor(model="gpt-4o", error=ProviderUnavailable("refused")), FakeVendor("llama", model="llama", provider="ollama")
    )
    assert about(findings, "level l0").status is Status.WARN
    assert about(findings, "level l1").status is Status.OK
    assert about(findings, "chain").status is Status.OK
    assert not any(finding.status is Status.FAIL for finding in findings)


async def test_what_is_remarked_on_a_level_does_not_put_it_out(tmp_path: Path):
    """Whether it can answer is not read out of the words about it."""
    findings = await examined(tmp_path, FakeVendor(model="does not answer"), FakeVendor("other", model="gpt-4o"))
    assert [about(findings, part).can_answer for part in ("level l0", "level l1", "disk")] == [True, False, None]
    assert about(findings, "level l0").detail.startswith("does not answer")
    assert about(findings, "chain").detail == "1 of 2 levels can answer, 0 without a remark"


async def test_no_level_that_answers_is_a_failure(tmp_path: Path):
    findings = await examined(tmp_path, FakeVendor(model="gpt-4o", error=CredentialsRejected("wrong key")))
    assert about(findings, "chain").status is Status.FAIL
    assert "init" in about(findings, "level l0").repair


async def test_model_that_is_no_longer_served_is_named_with_its_successors(tmp_path: Path):
    finding = about(await examined(tmp_path, FakeVendor("gpt-4o", model="gpt-3.1")), "level l0")
    assert finding.status is Status.WARN
    assert "gpt-3.1 is not served" in finding.detail
    assert finding.repair == "served now: gpt-4o"


async def test_what_another_makers_server_serves_is_measured_by_its_own_list(tmp_path: Path):
    level = LevelConfig.model_validate(
        {"name": "l0", "provider": "openai", "model": "x", "base_url": "http://127.0.0.1:9/v1", "api_key": "k", "context": 4096}
    )
    good = about(await examined(tmp_path, FakeVendor("new-model", "old-model", model="new-model"), levels=(level,)), "level l0")
    assert "SDK" not in good.detail + good.repair
    bad = about(await examined(tmp_path, FakeVendor("new-model", "old-model", model="gpt-4o"), levels=(level,)), "level l0")
    assert bad.repair == "served now: new-model, old-model"


async def test_model_file_that_is_not_where_config_says_is_not_to_be_fetched(tmp_path: Path):
    missing = FakeVendor(model=str(tmp_path / "x.gguf"), provider="local", error=ProviderUnavailable("no file"))
    assert about(await examined(tmp_path, missing), "level l0").repair == "correct the path in config.toml"


async def test_an_allowance_that_no_call_fits_into_is_told(tmp_path: Path):
    async with _app(tmp_path, FakeVendor("gpt-4o", model="gpt-4o"), daily_usd=0.0001) as app:
        finding = about([finding async for finding in app.doctor.examine()], "level l0")
    assert finding.can_answer is False
    assert "daily_usd is $0.0001" in finding.detail


async def test_model_without_a_price_is_told(tmp_path: Path):
    finding = about(await examined(tmp_path, FakeVendor(model="ft:mine")), "level l0")
    assert finding.status is Status.WARN
    assert "price" in finding.detail


async def test_level_without_a_key_and_one_never_reached_are_told(tmp_path: Path):
    levels = (
        LevelConfig(name="gpt", provider="openai", model="gpt-4o", context=8000),
        LevelConfig(name="inside", provider="local", model="x.gguf", context=4096),
        LevelConfig(name="behind", provider="ollama", model="llama", base_url="http://127.0.0.1:1", context=4096),
    )
    findings = await examined(tmp_path, levels=levels)
    assert "no key" in about(findings, "level gpt").detail
    assert "inside" in about(findings, "level behind").detail


async def test_database_that_is_not_there_yet_is_no_failure(tmp_path: Path):
    assert about(await examined(tmp_path), "database").status is Status.WARN
    assert not (tmp_path / "robbie.db").exists()


async def test_level_that_failed_at_what_it_was_asked_last_is_doubted(tmp_path: Path):
    async with _app(tmp_path, FakeVendor("llama", model="llama", provider="ollama")) as app:
        await app.prepare()
        breaker = app.health.breaker(app.chain.rungs[0].id)
        for _ in range(2):
            permit = breaker.permit()
            assert permit is not None
            permit.failed(ProviderUnavailable("FAKE"))
        await app.health.save_changes()
        findings = [finding async for finding in app.doctor.examine()]
    level = next(finding for finding in findings if finding.part.startswith("level"))
    assert (level.status, level.can_answer) == (Status.WARN, True)
    assert "failed at what it was asked last" in level.detail


@pytest.mark.parametrize(
    ("trouble", "words"), [("newer", "newer Robbie"), ("corrupt", "not a database"), ("strange", "another program (users)")]
)
async def test_database_in_trouble_is_a_failure(tmp_path: Path, trouble: str, words: str):
    async with _app(tmp_path) as app:
        await app.prepare()
    if trouble == "newer":
        connection = sqlite3.connect(tmp_path / "robbie.db")
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        connection.close()
    elif trouble == "strange":
        for file in tmp_path.glob("robbie.db*"):
            file.unlink()
        with closing(sqlite3.connect(tmp_path / "robbie.db")) as connection:
            connection.execute("CREATE TABLE users (id)")
    else:
        for file in tmp_path.glob("robbie.db*"):
            file.unlink()
        (tmp_path / "robbie.db").write_text("this is no database, and it is long enough to be seen as none" * 20)
    finding = about(await examined(tmp_path), "database")
    assert finding.status is Status.FAIL
    assert words in finding.detail
    assert finding.repair


async def test_clock_that_runs_behind_what_it_wrote_is_a_failure(tmp_path: Path, clock: FakeClock):
    async with _app(tmp_path, FakeProvider("hello"), clock=clock) as app:
        owner = await app.prepare()
        async with app.hub:
            await app.talk(owner).ask("hello")
    assert about(await examined(tmp_path, clock=clock), "clock").status is Status.OK
    clock.moment -= timedelta(hours=2)
    assert about(await examined(tmp_path, clock=clock), "clock").status is Status.FAIL


async def test_a_server_of_tools_that_does_not_start_is_told_with_its_repair(tmp_path: Path):
    pytest.importorskip("mcp", reason="needs the mcp extra")
    config = Config(
        robbie=RobbieConfig(data_dir=tmp_path),
        database=DatabaseConfig(url=f"sqlite+aiosqlite:///{tmp_path}/robbie.db"),
        tools=ToolsConfig(mcp=(McpConfig(name="other", command="/no/such/server", allow=("act",)),)),
    )
    async with build(config, environ={}, rungs=[]) as app:
        finding = about([finding async for finding in app.doctor.examine()], "mcp other")
    assert finding.status is Status.WARN
    assert "FileNotFoundError" in finding.detail
    assert "[[tools.mcp]]" in finding.repair
