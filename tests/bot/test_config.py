"""What may be written in config.toml, and what is said when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.config import Config, LevelConfig, load_config
from bot.domain.errors import ConfigError

ROOT = Path(__file__).parents[2]
LEVEL = '[[brain.levels]]\nname = "gpt"\nprovider = "openai"\nmodel = "gpt-x"\ncontext = 1000\n'
SERVER = '[[tools.mcp]]\nname = "a"\n'

Loader = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    """Write *text* (and a config.local.toml) to an empty folder and load it, with only *variables* in the environment."""

    def loaded(text: str = "", *, local: str = "", **variables: str) -> Config:
        (tmp_path / "config.toml").write_text(text, encoding="utf-8")
        if local:
            (tmp_path / "config.local.toml").write_text(local, encoding="utf-8")
        return load_config(tmp_path / "config.toml", variables)

    return loaded


@pytest.fixture
def refusal(load: Loader) -> Callable[..., ConfigError]:
    """The ConfigError that a text meets with."""

    def refused(text: str = "", **others: str) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load(text, **others)
        assert len(str(caught.value).splitlines()) == 1
        return caught.value

    return refused


def level(config: Config, name: str = "gpt") -> LevelConfig:
    return next(each for each in config.brain.levels if each.name == name)


# What is read


def test_shipped_file_works_without_any_key():
    config = load_config(ROOT / "config.toml", {})
    assert [each.name for each in config.brain.levels] == ["gpt-4-turbo", "claude", "llama-70b", "llama-8b", "embedded"]
    assert [node.name for node in config.mesh.nodes] == ["vengeance"]
    assert all(each.api_key is None for each in config.brain.levels)
    assert config.database.url == f"sqlite+aiosqlite:///{ROOT}/data/robbie.db"


def test_levels_that_the_readme_shows_are_the_shipped_ones(tmp_path: Path):
    (tmp_path / "config.toml").write_text((ROOT / "config.toml").read_text("utf-8"), "utf-8")
    (shown,) = re.findall(r"^```toml$(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    shipped = load_config(tmp_path / "config.toml", {}).brain.levels
    (tmp_path / "config.local.toml").write_text(shown, "utf-8")
    assert load_config(tmp_path / "config.toml", {}).brain.levels == shipped


def test_empty_file_is_all_defaults(load: Loader, tmp_path: Path):
    config = load()
    assert (config.web.host, config.web.port, config.brain.turn_seconds) == ("127.0.0.1", 8765, 45.0)
    assert config.robbie.data_dir == tmp_path / "data"
    assert config.database.url == f"sqlite+aiosqlite:///{tmp_path}/data/robbie.db"


def test_relative_paths_are_seen_from_the_files_folder(load: Loader, tmp_path: Path):
    (tmp_path / "my.gguf").touch()
    config = load(
        '[robbie]\ndata_dir = "../home"\n[database]\nurl = "sqlite+aiosqlite:///x.db?timeout=5"\n'
        '[[brain.levels]]\nname = "a"\nprovider = "local"\nmodel = "my.gguf"\ncontext = 1\n'
        '[[brain.levels]]\nname = "b"\nprovider = "local"\nmodel = "smollm2-135m-instruct"\ncontext = 1\n'
    )
    assert config.robbie.data_dir == tmp_path / "../home"
    assert config.database.url == f"sqlite+aiosqlite:///{tmp_path}/x.db?timeout=5"
    assert [each.model for each in config.brain.levels] == [str(tmp_path / "my.gguf"), "smollm2-135m-instruct"]


def test_absolute_paths_stay(load: Loader, tmp_path: Path):
    config = load(f'[robbie]\ndata_dir = "{tmp_path}/d"\n[database]\nurl = "sqlite+aiosqlite:///{tmp_path}/e.db"')
    assert config.robbie.data_dir == tmp_path / "d"
    assert config.database.url == f"sqlite+aiosqlite:///{tmp_path}/e.db"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://robbie:p%40ss@db/robbie",
        "postgresql+psycopg://u:p@a:5432,b:5433/robbie?target_session_attrs=read-write",
        "postgresql+psycopg://[::1]:5432/robbie",
        "postgresql+psycopg:///robbie?host=/run/postgresql",
    ],
)
def test_postgres_urls_stay_as_they_are(load: Loader, url: str):
    config = load(f'[database]\nurl = "{url}"\nreplicas = ["{url}"]')
    assert config.database.url == url
    assert config.database.replicas == (url,)
    assert url not in repr(config)


def test_whole_numbers_will_do_for_fractions(load: Loader):
    assert load("[brain]\nturn_seconds = 7\nhedge_seconds = 0").brain.turn_seconds == 7.0


def test_contract_example_of_people_and_mail_is_understood(load: Loader):
    config = load(
        '[email]\noauth = { provider = "google", client_id = "c", refresh_token = "r" }\n'
        'imap = { host = "imap.example.com", port = 993, tls = "tls" }\n'
        '[[people]]\nname = "Allan"\nrole = "owner"\n'
        'identities = [{ platform = "telegram", id = "123" },\n  { platform = "email", id = "allan@example.com" }]\n'
    )
    assert config.email.imap is not None
    assert config.email.imap.port == 993
    assert [identity.id for identity in config.people[0].identities] == ["123", "allan@example.com"]


# The household


def test_owner_exists_without_being_listed(load: Loader):
    config = load('[robbie]\nowner = "Ada"\ntimezone = "Europe/Paris"\n[[people]]\nname = "Grace"\ntimezone = "Asia/Tokyo"')
    assert [(each.name, each.role, each.timezone) for each in config.household()] == [
        ("Ada", "owner", "Europe/Paris"),
        ("Grace", "member", "Asia/Tokyo"),
    ]


def test_listed_owner_comes_first_and_once(load: Loader):
    config = load('[[people]]\nname = "Grace"\n[[people]]\nname = "Ada"\nrole = "owner"')
    assert [each.name for each in config.household()] == ["Ada", "Grace"]


def test_owner_listed_under_another_role_is_refused(refusal: Callable[..., ConfigError]):
    error = refusal('[robbie]\nowner = "Ada"\n[[people]]\nname = "Ada"\nrole = "member"')
    assert (error.key, error.line, error.repair) == ("people.Ada.role", 5, 'write role = "owner"')


def test_second_owner_is_refused(refusal: Callable[..., ConfigError]):
    error = refusal('[[people]]\nname = "A"\nrole = "owner"\n[[people]]\nname = "B"\nrole = "owner"')
    assert (error.key, error.line) == ("people.B.role", 6)


# What is laid over it


def test_local_file_wins_key_by_key(load: Loader):
    config = load('[web]\nhost = "0.0.0.0"\nport = 1000', local="[web]\nport = 2000")
    assert (config.web.host, config.web.port) == ("0.0.0.0", 2000)


def test_local_file_changes_levels_by_name_and_adds_new_ones(load: Loader):
    added = '[[brain.levels]]\nname = "new"\nprovider = "local"\nmodel = "m"\ncontext = 5\n'
    config = load(LEVEL, local='[[brain.levels]]\nname = "gpt"\nmodel = "gpt-y"\n' + added)
    assert [(each.name, each.model, each.context) for each in config.brain.levels] == [("gpt", "gpt-y", 1000), ("new", "m", 5)]


def test_local_file_replaces_plain_arrays(load: Loader):
    config = load(LEVEL + 'nodes = ["a", "b"]', local='[[brain.levels]]\nname = "gpt"\nnodes = ["c"]')
    assert level(config).nodes == ("c",)


def test_environment_wins_over_both_files(load: Loader):
    config = load("[web]\nport = 1", local="[web]\nport = 2", ROBBIE__WEB__PORT="3", ROBBIE__ROBBIE__OWNER="Ada Lovelace")
    assert (config.web.port, config.robbie.owner) == (3, "Ada Lovelace")


def test_environment_reaches_nested_keys_arrays_and_entries(load: Loader):
    config = load(
        LEVEL,
        ROBBIE__EMAIL__IMAP__HOST="mail.example.com",
        ROBBIE__EMAIL__IMAP__PORT="143",
        ROBBIE__DATABASE__REPLICAS='["postgresql+psycopg://h/d"]',
        ROBBIE__BRAIN__LEVELS='[{ name = "gpt", model = "gpt-z" }]',
    )
    assert config.email.imap is not None
    assert (config.email.imap.host, config.email.imap.port) == ("mail.example.com", 143)
    assert config.database.replicas == ("postgresql+psycopg://h/d",)
    assert (level(config).model, level(config).context) == ("gpt-z", 1000)


def test_value_of_two_toml_lines_is_a_text(load: Loader):
    assert load(ROBBIE__ROBBIE__OWNER="1\nx = 2").robbie.owner == "1\nx = 2"


# Secrets


@pytest.mark.parametrize(("written", "secret"), [("env:KEY", "k"), ("sk-literal", "sk-literal"), ("file:key.txt", "from file")])
def test_secret_comes_from_where_it_is_said_to_be(load: Loader, tmp_path: Path, written: str, secret: str):
    (tmp_path / "key.txt").write_text("from file\n")
    key = level(load(LEVEL + f'api_key = "{written}"', KEY="k")).api_key
    assert key is not None
    assert key.get_secret_value() == secret
    assert secret not in repr(key)


def test_a_servers_environment_is_named_like_any_secret(load: Loader):
    config = load(SERVER + 'command = "x"\nenv = { TOKEN = "env:KEY", PLACE = "Oslo" }', KEY="k")
    (server,) = config.tools.mcp
    assert {name: secret and secret.get_secret_value() for name, secret in server.env.items()} == {"TOKEN": "k", "PLACE": "Oslo"}
    assert "k" not in repr(server.env["TOKEN"])


@pytest.mark.parametrize("written", ["", "env:KEY", "env:UNSET", "file:missing.txt", "file:empty.txt"])
def test_empty_secret_is_a_missing_one_and_no_error(load: Loader, tmp_path: Path, written: str):
    (tmp_path / "empty.txt").write_text("\n")
    assert level(load(LEVEL + f'api_key = "{written}"', KEY="")).api_key is None


def test_saved_secrets_lie_under_the_environment(load: Loader, tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/secrets.env").write_text("# written by robbie init\n\nA=saved a\nB=saved=b\n")
    second = LEVEL.replace("gpt", "other") + 'api_key = "env:B"'
    config = load(f'[robbie]\ndata_dir = "home"\n{LEVEL}api_key = "env:A"\n{second}', A="set")
    assert [each.api_key and each.api_key.get_secret_value() for each in config.brain.levels] == ["set", "saved=b"]


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_variable_that_is_set_but_empty_hides_nothing(load: Loader, tmp_path: Path, empty: str):
    """Compose files and service units set every variable they name, to nothing where nobody gave it a value."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/secrets.env").write_text("KEY=saved\n")
    text = f'[web]\npublic_url = "https://a.example"\n[telegram]\ntoken = "from the file"\n{LEVEL}api_key = "env:KEY"\n'
    config = load(text, KEY=empty, ROBBIE__TELEGRAM__TOKEN=empty, ROBBIE__WEB__PORT=empty, ROBBIE__WEB__PUBLIC_URL='""')
    assert config.telegram.token is not None
    assert level(config).api_key is not None
    assert [secret.get_secret_value() for secret in (config.telegram.token, level(config).api_key)] == ["from the file", "saved"]
    assert (config.web.port, config.web.public_url) == (8765, "")


def test_white_space_around_a_secret_is_none_of_it(load: Loader, tmp_path: Path):
    (tmp_path / "key").write_text(" k1\r\n")
    config = load(LEVEL + 'api_key = "env:KEY"\n[telegram]\ntoken = "file:key"', KEY="k2\n")
    assert [secret.get_secret_value() for secret in (config.telegram.token, level(config).api_key)] == ["k1", "k2"]


def test_saved_secrets_that_are_no_list_are_refused_by_line(refusal: Callable[..., ConfigError], tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/secrets.env").write_text("A=1\nsk-pasted\n")
    error = refusal()
    assert (error.file, error.line) == (tmp_path / "data/secrets.env", 2)
    assert "sk-pasted" not in str(error)


def test_saved_secrets_that_cannot_be_read_are_refused(refusal: Callable[..., ConfigError], tmp_path: Path):
    (tmp_path / "data/secrets.env").mkdir(parents=True)
    assert refusal().file == tmp_path / "data/secrets.env"


def test_secret_file_that_cannot_be_read_is_refused(refusal: Callable[..., ConfigError], tmp_path: Path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert refusal(LEVEL + 'api_key = "file:binary"').line == 6
    assert "cannot be read" in str(refusal(LEVEL + f'api_key = "file:{tmp_path}"'))


# What is refused, and where


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        ("[web]\n\nprot = 1", 3, "web.prot", "did you mean port?"),
        ("[wbe]\nport = 1", 1, "wbe", "did you mean web?"),
        ('[autonomy.overrides]\n"task.add" = "aks"', 2, "autonomy.overrides.task.add", "'tell' or 'ask'"),
        ("zzz = 1", 1, "zzz", "known here: robbie, database, web"),
        (LEVEL + "contxt = 5", 6, "brain.levels.gpt.contxt", "did you mean context?"),
        ('[web]\nport = "8765"', 2, "web.port", "should be a valid integer (for example port = 8765)"),
        ("[web]\nport = 70000", 2, "web.port", "less than or equal to 65535"),
        ("[web]\nport = -1", 2, "web.port", "greater than or equal to 0"),
        ("[web]\nport = true", 2, "web.port", "integer"),
        ("[web]\nhost = 5", 2, "web.host", "string"),
        ('[web]\nhost = ""', 2, "web.host", "at least 1 character"),
        ("web = 5", 1, "web", "object"),
        ("[brain]\nturn_seconds = 0", 2, "brain.turn_seconds", "greater than 0"),
        ("[brain]\nhedge_seconds = -1.5", 2, "brain.hedge_seconds", "greater than or equal to 0"),
        ("[brain]\ndaily_usd = -1", 2, "brain.daily_usd", "greater than or equal to 0"),
        ("[brain]\ndaily_usd = nan", 2, "brain.daily_usd", "finite"),
        ("[brain]\nlevels = 5", 2, "brain.levels", "array"),
        ('[web]\npublic_url = "robbie.example.com"', 2, "web.public_url", "no http or https URL"),
        ('[web]\npublic_url = "ftp://x"', 2, "web.public_url", "no http or https URL"),
        ('[[mesh.nodes]]\nname = "a"\nurl = "http://h:99999"', 3, "mesh.nodes.a.url", "no http or https URL"),
        ('[[mesh.nodes]]\nname = "a"\nurl = ""', 3, "mesh.nodes.a.url", "no http or https URL"),
        (LEVEL + 'base_url = "localhost:1"', 6, "brain.levels.gpt.base_url", "no http or https URL"),
        ('[database]\nurl = "postgres://h/d"', 2, "database.url", "postgresql+psycopg://"),
        ('[database]\nurl = "sqlite+aiosqlite://data/x.db"', 2, "database.url", "sqlite+aiosqlite:///"),
        ('[database]\nurl = "sqlite+aiosqlite:///:memory:"', 2, "database.url", "sqlite+aiosqlite:///data/"),
        ('[database]\nurl = "sqlite+aiosqlite:///file:x.db?uri=true"', 2, "database.url", "sqlite+aiosqlite:///data/"),
        ('[database]\nurl = "sqlite+aiosqlite:///?timeout=5"', 2, "database.url", "sqlite+aiosqlite:///data/"),
        ('[database]\nurl = "postgresql+psycopg://h:port/d"', 2, "database.url", "no URL of a database"),
        ('[database]\nreplicas = ["mysql://h/d"]', 2, "database.replicas.0", "no URL of a database"),
        ('[robbie]\ntimezone = "America/New_Yorck"', 2, "robbie.timezone", 'did you mean "America/New_York"?'),
        ('[robbie]\ntimezone = "America"', 2, "robbie.timezone", "is no timezone"),
        ('[robbie]\ntimezone = "../../etc/passwd"', 2, "robbie.timezone", "is no timezone"),
        (LEVEL.replace("openai", "opnai"), 3, "brain.levels.gpt.provider", "'openai', 'anthropic', 'ollama' or 'local'"),
        (LEVEL.replace("context = 1000\n", ""), 1, "brain.levels.gpt.context", "is missing (for example context = 8192)"),
        (LEVEL.replace("1000", "-1"), 5, "brain.levels.gpt.context", "greater than 0"),
        ('[[brain.levels]]\nprovider = "local"\nmodel = "m"\ncontext = 1', 1, "brain.levels.0.name", "is missing"),
        (LEVEL + LEVEL, 7, "brain.levels.gpt.name", 'there are two named "gpt"'),
        ('[briefs]\nmorning = "25:00"', 2, "briefs.morning", 'write it as "07:30"'),
        ('[briefs]\nmissed = "never"', 2, "briefs.missed", "'run', 'short' or 'skip'"),
        ('[email]\nimap = { host = "h", prot = 1 }', 2, "email.imap.prot", "did you mean port?"),
        (LEVEL.replace("openai", "local") + 'tools = "native"', 6, "brain.levels.gpt.tools", 'write tools = "text"'),
        (LEVEL + 'tools = "yes"', 6, "brain.levels.gpt.tools", "'native', 'text' or 'none'"),
        (SERVER + 'command = "x"\nurl = "http://h"', 3, "tools.mcp.a.command", "write one of the two"),
        (SERVER + 'command = "x"\nallow = ["b"]\nsafe = ["c"]', 5, "tools.mcp.a.safe", '"c" is not in allow'),
        (SERVER + 'command = "x"\nseconds = 11', 4, "tools.mcp.a.seconds", "less than or equal to 10"),
        ('[[tools.mcp]]\nname = "my server"', 2, "tools.mcp.my server.name", "pattern"),
        ('[[people]]\nname = "Allan"\nrole = "boss"', 3, "people.Allan.role", "'owner' or 'member'"),
        ('[[people]]\nname = "Allan"\nidentities = [{ platform = "fax", id = "1" }]', 3, "people.Allan.identities.0.platform", "'slack'"),
    ],
)
def test_wrong_value_is_refused_by_key_and_line(
    refusal: Callable[..., ConfigError], tmp_path: Path, text: str, line: int, key: str, said: str
):
    error = refusal(text)
    assert (error.key, error.file, error.line) == (key, tmp_path / "config.toml", line)
    assert str(error).startswith(f"{tmp_path}/config.toml:{line}: {key}: ")
    assert said in str(error)


def test_first_of_several_mistakes_is_told(refusal: Callable[..., ConfigError]):
    assert refusal('[brain]\nturn_seconds = 0\n[web]\nport = "x"\nhots = 1').line == 2


def test_mistake_in_the_local_file_is_told_of_that_file(refusal: Callable[..., ConfigError], tmp_path: Path):
    error = refusal(LEVEL, local='\n[[brain.levels]]\nname = "gpt"\ncontext = "many"')
    assert (error.file, error.line) == (tmp_path / "config.local.toml", 4)


def test_twins_within_the_local_file_are_refused(refusal: Callable[..., ConfigError], tmp_path: Path):
    twin = '[[brain.levels]]\nname = "gpt"\nprovider = "local"\nmodel = "m"\ncontext = 1\n'
    error = refusal(LEVEL, local=twin + twin)
    assert (error.file, error.line) == (tmp_path / "config.local.toml", 7)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ROBBIE__WEB__PROT", "1"),
        ("ROBBIE__WEB__PORT", "many"),
        ("ROBBIE__WBE__PORT", "1"),
        ("ROBBIE__WEB", "{ port = -1 }"),
        ("ROBBIE__", "1"),
    ],
)
def test_wrong_variable_is_refused_by_its_name(refusal: Callable[..., ConfigError], variable: str, value: str):
    error = refusal(**{variable: value})
    assert (error.key, error.file, error.line) == (variable, None, None)


def test_variable_that_is_no_text_is_refused_by_its_name(refusal: Callable[..., ConfigError]):
    assert refusal(ROBBIE__ROBBIE__OWNER="\udcff").key == "ROBBIE__ROBBIE__OWNER"


def test_secret_never_stands_in_an_error(refusal: Callable[..., ConfigError]):
    assert "sk-1" not in str(refusal(LEVEL + 'apikey = "sk-1"'))
    assert "sk-1" not in str(refusal('[database]\nurl = "postgres://u:sk-1@h/d"'))


# Channels


def test_enabled_channel_without_its_secret_is_refused_where_the_secret_is_named(refusal: Callable[..., ConfigError]):
    error = refusal('[telegram]\nenabled = true\ntoken = "env:UNSET"')
    assert (error.key, error.line) == ("telegram.token", 3)
    assert "telegram.enabled = false" in error.repair


@pytest.mark.parametrize(("channel", "key"), [("slack", "bot_token"), ("telegram", "token"), ("email", "password")])
def test_enabled_channel_without_any_line_for_its_secret_is_refused_at_its_section(
    refusal: Callable[..., ConfigError], channel: str, key: str
):
    error = refusal(f"\n[{channel}]\nenabled = true")
    assert (error.key, error.line) == (f"{channel}.{key}", 2)


def test_enabled_channel_with_its_secrets_is_accepted(load: Loader):
    assert load("[slack]\nenabled = true", SLACK_BOT_TOKEN="b", SLACK_APP_TOKEN="a").slack.enabled


def test_several_workspaces_need_no_bot_token(load: Loader):
    config = load('[slack]\nenabled = true\nclient_id = "1.2"', SLACK_APP_TOKEN="a", SLACK_CLIENT_SECRET="s")
    assert config.slack.bot_token is None


def test_a_webhook_needs_an_address_that_telegram_may_call(refusal: Callable[..., ConfigError]):
    error = refusal('[telegram]\nenabled = true\nmode = "webhook"', TELEGRAM_TOKEN="t", TELEGRAM_SECRET="s")
    assert error.key == "web.public_url"


def test_channel_that_is_switched_off_needs_no_secret(load: Loader):
    assert load("[slack]\nenabled = false").slack.bot_token is None


# The file itself


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"[web]\nport = \n", 2, "no valid TOML"),
        (b"[web\n", 1, "no valid TOML"),
        (b"[web]\nport = 1\nport = 2\n", 3, "no valid TOML"),
        (b'[web]\nhost = """never closed\n\n', 2, "no valid TOML"),
        (b"a = 1\nb = '\xff'\n", 2, "not UTF-8"),
        (b"a = \x00", 1, "no valid TOML"),
        (b"a = " + b"[" * 100_000, None, "nested too deeply"),
        (b"a = " + b"9" * 5000, 1, "no valid TOML"),
    ],
)
def test_file_that_is_no_toml_is_refused_by_line(tmp_path: Path, content: bytes, line: int | None, said: str):
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(file, {})
    assert (caught.value.file, caught.value.line) == (file, line)


def test_file_from_windows_is_read(tmp_path: Path):
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbf[web]\r\nport = 9\r\n")
    assert load_config(tmp_path / "config.toml", {}).web.port == 9


def test_missing_file_and_folder_are_told_apart(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path, {})


def test_capitals_in_a_mail_address_tell_nobody_apart(load: Loader):
    ids = '[{ platform = "email", id = "Allan@Example.com" }, { platform = "slack", id = "T1/U1" }]'
    [allan] = load(f'[[people]]\nname = "Allan"\nrole = "owner"\nidentities = {ids}\n').people
    assert [identity.id for identity in allan.identities] == ["allan@example.com", "T1/U1"]


# A section built by hand, as tests do


def test_section_built_by_hand_is_checked_too():
    with pytest.raises(ValueError, match="greater than 0"):
        LevelConfig(name="a", provider="local", model="m", context=0)
    with pytest.raises(ValueError, match="frozen"):
        LevelConfig(name="a", provider="local", model="m", context=1).context = 2
