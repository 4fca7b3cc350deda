"""`robbie init`: keys are tested before they are saved, and no secret is ever shown."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bot import setup
from bot.config import load_config
from bot.domain.errors import ConfigError
from bot.setup import Setup
from tests.bot.adapters.fake_telegram import TOKEN, fake_telegram
from tests.bot.conftest import GOOD_KEY


class Typist:
    """A FAKE person who types these answers, in order."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.screen = io.StringIO()
        self.console = Console(file=self.screen, width=200)
        self.asked: list[str] = []
        self.ends = False
        self.console.input = self._type  # type: ignore[method-assign]

    def _type(self, prompt: object = "", **_: object) -> str:
        self.asked.append(str(prompt))
        if self.ends and not self.answers:
            raise EOFError
        return self.answers.pop(0) if self.answers else ""


async def test_good_key_is_saved_where_only_the_owner_reads_it(home: Path):
    typist = Typist("Grace", "Europe/London", GOOD_KEY)
    await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    secrets = home.parent / "data" / "secrets.env"
    assert secrets.stat().st_mode & 0o777 == 0o600
    assert f"OPENAI_API_KEY={GOOD_KEY}" in secrets.read_text()
    assert GOOD_KEY not in typist.screen.getvalue() + (home.parent / "config.local.toml").read_text()
    config = load_config(home, {})
    assert (config.robbie.owner, config.robbie.timezone) == ("Grace", "Europe/London")
    assert config.brain.levels[0].api_key.get_secret_value() == GOOD_KEY


async def test_bad_key_is_refused_and_asked_again(home: Path):
    typist = Typist("Allan", "Europe/Berlin", "sk-wrong", "y", GOOD_KEY)
    await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    assert "does not accept this key" in typist.screen.getvalue()
    assert "sk-wrong" not in (home.parent / "data" / "secrets.env").read_text()


async def test_bad_key_that_is_given_up_leaves_nothing(home: Path):
    typist = Typist("Allan", "Europe/Berlin", "sk-wrong", "n")
    await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    assert not (home.parent / "data" / "secrets.env").exists()


async def test_model_that_is_not_served_is_replaced_by_one_that_is(home: Path):
    home.write_text(home.read_text().replace("gpt-5.2", "gpt-3"))
    typist = Typist("Allan", "Europe/Berlin", GOOD_KEY, "gpt-5.2")
    await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    assert "gpt-3 is not served" in typist.screen.getvalue()
    assert load_config(home, {}).brain.levels[0].model == "gpt-5.2"


async def test_yes_asks_nothing(home: Path):
    typist = Typist()
    await Setup(config_file=home, environ={"OPENAI_API_KEY": GOOD_KEY}, asks=False, console=typist.console).run()
    assert "the key works" in typist.screen.getvalue()
    secrets = home.parent / "data" / "secrets.env"
    assert secrets.read_text().splitlines()[-1] == f"OPENAI_API_KEY={GOOD_KEY}"
    assert secrets.stat().st_mode & 0o777 == 0o600


async def test_yes_saves_nothing_that_does_not_work(home: Path):
    await Setup(config_file=home, environ={"OPENAI_API_KEY": "sk-wrong"}, asks=False, console=Typist().console).run()
    assert not (home.parent / "data" / "secrets.env").exists()


async def test_what_a_person_wrote_in_the_local_file_stays(home: Path):
    local = home.parent / "config.local.toml"
    local.write_text("# mine\n[web]\nport = 9999\n")
    await Setup(config_file=home, environ={}, asks=True, console=Typist("Allan", "Europe/Berlin", "").console).run()
    assert "# mine" in local.read_text()
    assert load_config(home, {}).web.port == 9999


async def test_key_is_kept_under_the_name_that_its_own_level_gives_it(home: Path):
    second = home.read_text().partition("[[brain.levels]]")[2].replace('"first"', '"second"').replace("OPENAI_API_KEY", "GROQ_API_KEY")
    home.write_text(f"{home.read_text()}\n[[brain.levels]]{second}")
    secrets = home.parent / "data" / "secrets.env"
    secrets.parent.mkdir()
    secrets.write_text("OPENAI_API_KEY=sk-mine\n")
    await Setup(config_file=home, environ={}, asks=True, console=Typist("Allan", "Europe/Berlin", "sk-wrong", "n", GOOD_KEY).console).run()
    assert secrets.read_text() == f"OPENAI_API_KEY=sk-mine\nGROQ_API_KEY={GOOD_KEY}\n"


async def test_key_in_a_file_of_its_own_is_left_alone(home: Path):
    (home.parent / "key").write_text(GOOD_KEY)
    home.write_text(home.read_text().replace("env:OPENAI_API_KEY", "file:key"))
    await Setup(config_file=home, environ={}, asks=True, console=Typist("Allan", "Europe/Berlin").console).run()
    assert not (home.parent / "data" / "secrets.env").exists()


@pytest.mark.parametrize(("held", "warns"), [("", False), ("sk-other", True), (GOOD_KEY, False)])
async def test_key_that_the_environment_will_hide_is_told(home: Path, held: str, warns: bool):
    typist = Typist("Allan", "Europe/Berlin", GOOD_KEY)
    await Setup(config_file=home, environ={"OPENAI_API_KEY": held}, asks=True, console=typist.console).run()
    assert ("unset it" in typist.screen.getvalue()) is warns
    assert "sk-other" not in typist.screen.getvalue()


@pytest.mark.parametrize("zone", ["Mars/Olympus", ""])
async def test_wrong_zone_is_asked_again(home: Path, zone: str):
    typist = Typist("Allan", zone or "nowhere", "Asia/Tokyo", "")
    await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    assert load_config(home, {}).robbie.timezone == "Asia/Tokyo"


async def test_settings_that_cannot_be_written_are_told_in_one_line(home: Path):
    (home.parent / ".config.local.toml.new").mkdir()
    with pytest.raises(ConfigError, match=rf"^{home.parent}/config\.local\.toml: cannot be written: Is a directory \("):
        await Setup(config_file=home, environ={}, asks=True, console=Typist("Allan", "Europe/Berlin", "").console).run()


def test_secrets_file_replaces_only_its_own_lines(tmp_path: Path):
    file = tmp_path / "secrets.env"
    file.write_text("OTHER=1\nOPENAI_API_KEY=old\n")
    assert setup._with_secrets(file, {"OPENAI_API_KEY": "new"}) == "OTHER=1\nOPENAI_API_KEY=new\n"


async def test_a_channel_is_kept_once_the_service_accepts_its_token(home: Path):
    async with fake_telegram() as telegram:
        _point_at(home, telegram.url)
        typist = Typist("Allan", "Europe/Berlin", "", "telegram", "777:wrong", "", "y", TOKEN, "41")
        await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    screen = typist.screen.getvalue()
    assert "write /newbot to @BotFather" in screen
    assert "nothing is saved for it" in screen
    config = load_config(home, {})
    assert config.telegram.enabled
    assert config.telegram.token.get_secret_value() == TOKEN
    assert [(each.platform, each.id) for each in config.people[0].identities] == [("telegram", "41")]
    assert TOKEN not in screen + (home.parent / "config.local.toml").read_text()
    assert "777:wrong" not in screen + (home.parent / "data" / "secrets.env").read_text()


async def test_a_channel_that_is_given_up_leaves_nothing(home: Path):
    async with fake_telegram() as telegram:
        _point_at(home, telegram.url)
        typist = Typist("Allan", "Europe/Berlin", "", "telegram", "777:wrong", "", "n")
        await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    assert not load_config(home, {}).telegram.enabled
    assert not (home.parent / "data" / "secrets.env").exists()


async def test_a_channel_or_an_id_that_cannot_be_is_asked_again(home: Path):
    async with fake_telegram() as telegram:
        _point_at(home, telegram.url)
        typist = Typist("Allan", "Europe/Berlin", "", "telegramm", "telegram", TOKEN, "@allan", "41")
        await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    assert typist.screen.getvalue().count("There are: slack, telegram, email") == 2
    assert typist.screen.getvalue().count("which @userinfobot tells you") == 2
    assert [each.id for each in load_config(home, {}).people[0].identities] == ["41"]


async def test_who_leaves_in_the_middle_keeps_what_was_accepted(home: Path):
    async with fake_telegram() as telegram:
        _point_at(home, telegram.url)
        typist = Typist("Allan", "Europe/Berlin", "", "telegram email", TOKEN, "41")
        typist.ends = True
        with pytest.raises(EOFError):
            await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    config = load_config(home, {})
    assert (config.telegram.enabled, config.email.enabled) == (True, False)


async def test_yes_takes_a_channel_whose_token_the_environment_holds(home: Path):
    async with fake_telegram() as telegram:
        _point_at(home, telegram.url)
        await Setup(config_file=home, environ={"TELEGRAM_TOKEN": TOKEN}, asks=False, console=Typist().console).run()
    assert load_config(home, {}).telegram.enabled


async def test_servers_of_large_providers_are_known(home: Path):
    typist = Typist("Allan", "Europe/Berlin", "", "email", "robbie@gmail.com", "localhost", "none", "9", "", "none", "9", "pw", "a@x", "n")
    await Setup(config_file=home, environ={}, asks=True, console=typist.console).run()
    assert "imap.gmail.com" in "".join(typist.asked)
    assert "smtp.gmail.com" in "".join(typist.asked)
    assert not load_config(home, {}).email.enabled


def _point_at(home: Path, api_url: str) -> None:
    home.write_text(f'{home.read_text()}\n[telegram]\napi_url = "{api_url}"\n')
