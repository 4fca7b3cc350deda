"""The configuration: what may be written in config.toml, and reading it into one frozen `Config`.

Four sources, each laid over the one before: the defaults below, the file itself, `config.local.toml` beside it, and environment
variables such as ROBBIE__WEB__PORT (one that is set but empty counts as unset, and so hides nothing). Entries of [[people]],
[[brain.levels]] and [[mesh.nodes]] are known by their `name`: a later source changes the entry of that name, and adds new ones at the
end. Whatever is wrong becomes one `ConfigError`, which says where it was written.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from bot.config_values import (
    SQLITE,
    Count,
    DatabaseUrl,
    DataFolder,
    HttpUrl,
    HttpUrlOrEmpty,
    Model,
    Name,
    NotNegative,
    Port,
    PortOrAny,
    Refused,
    Seconds,
    Secret,
    Surroundings,
    TimeOfDay,
    Timezone,
    TimezoneOrEmpty,
    nearest,
)
from bot.domain.errors import ConfigError
from bot.placed_toml import Place, Table, read_toml

LOCAL_FILE = "config.local.toml"
SECRETS_FILE = "secrets.env"
VARIABLE_PREFIX = "ROBBIE__"


class Section(BaseModel):
    """A table of config.toml: frozen, of exactly these keys and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


class RobbieConfig(Section):
    """[robbie]: whom Robbie works for, and where he lives."""

    owner: Name = "Allan"
    organization: Name = "default"
    timezone: Timezone = "America/New_York"
    data_dir: DataFolder = Path("data")


class DatabaseConfig(Section):
    """[database]: the one that is written to, and copies to read from. URLs may hold a password: they are not in its repr."""

    url: DatabaseUrl = Field(default=f"{SQLITE}data/robbie.db", repr=False)
    replicas: tuple[DatabaseUrl, ...] = Field(default=(), repr=False)


class WebConfig(Section):
    """[web]: where the web server listens (port 0: any free one), and how it is reached from elsewhere."""

    host: Name = "127.0.0.1"
    port: PortOrAny = 8765
    public_url: HttpUrlOrEmpty = ""


class SlackConfig(Section):
    """[slack]: one workspace by its tokens, or several by OAuth."""

    enabled: bool = False
    mode: Literal["socket", "http"] = "socket"
    bot_token: Secret = SecretStr("env:SLACK_BOT_TOKEN")
    app_token: Secret = SecretStr("env:SLACK_APP_TOKEN")
    signing_secret: Secret = SecretStr("env:SLACK_SIGNING_SECRET")
    client_id: str = ""
    client_secret: Secret = SecretStr("env:SLACK_CLIENT_SECRET")
    api_url: HttpUrl = "https://slack.com/api/"


class TelegramConfig(Section):
    """[telegram]: one bot."""

    enabled: bool = False
    mode: Literal["polling", "webhook"] = "polling"
    token: Secret = SecretStr("env:TELEGRAM_TOKEN")
    api_url: HttpUrl = "https://api.telegram.org/bot"
    secret_token: Secret = SecretStr("env:TELEGRAM_SECRET")


class MailServerConfig(Section):
    """[email.imap] and [email.smtp]: a server and how the line to it is secured."""

    host: Name
    port: Port
    tls: Literal["tls", "starttls", "none"] = "tls"


class OAuthConfig(Section):
    """[email.oauth]: in place of a password; some providers want a client secret as well."""

    provider: Name
    client_id: Name
    client_secret: Secret = None
    refresh_token: Secret


class EmailConfig(Section):
    """[email]: one mailbox."""

    enabled: bool = False
    address: str = ""
    username: str = ""
    password: Secret = SecretStr("env:EMAIL_PASSWORD")
    oauth: OAuthConfig | None = None
    imap: MailServerConfig | None = None
    smtp: MailServerConfig | None = None
    authserv_id: str = ""
    replies: Literal["approve", "known", "all"] = "approve"


class IdentityConfig(Section):
    """An account of a person: the channel it is on, and the channel's own id of it."""

    platform: Literal["slack", "telegram", "email"]
    id: Name

    @field_validator("id")
    @classmethod
    def _without_capitals(cls, value: str, info: ValidationInfo) -> str:
        """As senders of mail are known."""
        return value.lower() if info.data.get("platform") == "email" else value


class PersonConfig(Section):
    """[[people]]: someone who may talk to Robbie without pairing. An empty timezone is Robbie's own."""

    name: Name
    role: Literal["owner", "member"] = "member"
    timezone: TimezoneOrEmpty = ""
    identities: tuple[IdentityConfig, ...] = ()


class PriceConfig(Section):
    """What a level costs, in US dollars per million tokens."""

    input: NotNegative
    output: NotNegative


class LevelConfig(Section):
    """[[brain.levels]]: one model of the chain. `context` and `max_output_tokens` are in tokens.

    `usd_per_million` is for a model whose price no list knows, such as one of your own behind `base_url`. `tools`: how it is told of them;
    by default natively, and the embedded model not at all.
    """

    name: Name
    provider: Literal["openai", "anthropic", "ollama", "local"]
    model: Model
    api_key: Secret = None
    base_url: HttpUrlOrEmpty = ""
    context: Count
    nodes: tuple[str, ...] = ()
    max_output_tokens: Count = 1024
    usd_per_million: PriceConfig | None = None
    tools: Literal["native", "text", "none"] | None = None


class BrainConfig(Section):
    """[brain]: the bounds of a turn, and the chain in order."""

    turn_seconds: Seconds = 45.0
    hedge_seconds: NotNegative = 1.5
    stall_seconds: Seconds = 10.0
    daily_usd: NotNegative = 5.0
    council: Literal["auto", "ask", "off"] = "auto"
    council_usd: NotNegative = 0.3
    levels: tuple[LevelConfig, ...] = ()


class NodeConfig(Section):
    """[[mesh.nodes]]: an Ollama server."""

    name: Name
    url: HttpUrl


class MeshConfig(Section):
    """[mesh]: the machines that models run on, and how often they are looked at while Robbie is in use."""

    watch_seconds: Seconds = 5.0
    nodes: tuple[NodeConfig, ...] = ()


class McpConfig(Section):
    """[[tools.mcp]]: a server of tools, by the command that runs it or by its url. Of its tools only those in `allow` are ever used.

    Those in `safe` only look: they are run without asking anybody. `env` is all that its process is given beside PATH and its like;
    `everyone` offers its tools to the household too, and where others read along.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,19}$", examples=["weather"])]
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, Secret] = {}
    url: HttpUrlOrEmpty = ""
    token: Secret = None
    allow: tuple[str, ...] = ()
    safe: tuple[str, ...] = ()
    everyone: bool = False
    seconds: Annotated[float, Field(gt=0, le=10)] = 10.0


class ToolsConfig(Section):
    """[tools]: what the models can use beside Robbie's own."""

    mcp: tuple[McpConfig, ...] = ()


class BriefsConfig(Section):
    """[briefs]: when they come, where, what becomes of a missed one, and of one that has nothing to say."""

    morning: TimeOfDay = "07:30"
    afternoon: TimeOfDay = "13:00"
    evening: TimeOfDay = "18:30"
    channel: Name = "auto"
    missed: Literal["run", "short", "skip"] = "short"
    quiet: Literal["line", "silent"] = "line"


class ExpertsConfig(Section):
    """[experts]: what one piece of a crew's work may take in all; `steps` are calls of a model."""

    steps: Count = 12
    seconds: Seconds = 180.0
    usd: NotNegative = 0.5


class MemoryConfig(Section):
    """[memory]: by which model what was said is found again by its meaning. `auto` is the best that is installed here.

    An answer waits for a memory at most `recall_seconds`. The other keys are for `ollama` and `openai`; `usd_per_million` is the price of
    a model that no list knows.
    """

    embedder: Literal["auto", "minilm", "wordllama", "ollama", "openai", "none"] = "auto"
    embedding_model: str = ""
    base_url: HttpUrlOrEmpty = ""
    api_key: Secret = None
    usd_per_million: NotNegative | None = None
    recall_seconds: NotNegative = 0.5


class AutonomyConfig(Section):
    """[autonomy]: what Robbie does by himself until somebody sets it otherwise for themselves; `overrides` are of kinds of actions."""

    level: Literal["assisted", "semi", "highly", "fully"] = "semi"
    overrides: dict[str, Literal["assisted", "semi", "highly", "fully", "do", "tell", "ask"]] = {}


class Config(Section):
    """Everything Robbie is told from outside, once."""

    robbie: RobbieConfig = RobbieConfig()
    database: DatabaseConfig = DatabaseConfig()
    web: WebConfig = WebConfig()
    slack: SlackConfig = SlackConfig()
    telegram: TelegramConfig = TelegramConfig()
    email: EmailConfig = EmailConfig()
    people: tuple[PersonConfig, ...] = ()
    brain: BrainConfig = BrainConfig()
    mesh: MeshConfig = MeshConfig()
    briefs: BriefsConfig = BriefsConfig()
    autonomy: AutonomyConfig = AutonomyConfig()
    experts: ExpertsConfig = ExpertsConfig()
    memory: MemoryConfig = MemoryConfig()
    tools: ToolsConfig = ToolsConfig()

    def household(self) -> tuple[PersonConfig, ...]:
        """Everyone who needs no pairing, the owner first (named in [[people]] or not), each with a timezone."""
        people = self.people
        if all(person.role != "owner" for person in people):
            people = (PersonConfig(name=self.robbie.owner, role="owner"), *people)
        complete = (person.model_copy(update={"timezone": person.timezone or self.robbie.timezone}) for person in people)
        return tuple(sorted(complete, key=lambda person: person.role != "owner"))


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration in *path*, with what is laid over it. Raises ConfigError for the first thing in it that cannot be used."""
    path = path.absolute()
    environ = {name: value for name, value in environ.items() if value.strip()}
    tree = read_toml(path)
    local = path.with_name(LOCAL_FILE)
    if local != path and local.exists():
        tree.lay_over(read_toml(local))
    for variable in sorted(name for name in environ if name.startswith(VARIABLE_PREFIX)):
        tree.lay_over(_override(variable, environ[variable]))
    document: dict[str, Any] = {name: {} for name in Config.model_fields if name != "people"} | tree
    surroundings = Surroundings(folder=path.parent, variables={**_saved_secrets(path.parent, tree), **environ})
    try:
        config = Config.model_validate_json(json.dumps(document, default=str), context=surroundings)
    except ValidationError as error:
        raise _first_of(tree, error) from None
    for key, refused in _contradictions(config):
        raise _config_error(tree, key, str(refused), refused.repair)
    return config


def _override(variable: str, value: str) -> Table:
    """ROBBIE__WEB__PORT=80 as a tree; the value is TOML if it can be read as TOML, and else a text."""
    place = Place(variable=variable)
    try:
        value.encode()
        parsed = tomllib.loads(f"value = {value}")
    except UnicodeEncodeError:
        raise ConfigError("is no UTF-8 text", key=variable, repair="unset it, or set it again") from None
    except (ValueError, RecursionError):
        parsed = {}
    values: Any = parsed["value"] if parsed.keys() == {"value"} else value
    for part in reversed(variable.removeprefix(VARIABLE_PREFIX).lower().split("__")):
        values = {part: values}
    table = Table(place)
    table.put_all(values, place)
    return table


def _saved_secrets(folder: Path, tree: Table) -> dict[str, str]:
    """What `robbie init` wrote to the data folder: a KEY=value a line."""
    _, _, data_dir = tree.find(("robbie", "data_dir"))
    file = folder / os.path.expanduser(data_dir if isinstance(data_dir, str) else "data") / SECRETS_FILE
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, ValueError):
        raise ConfigError("cannot be read", file=file, repair="check its owner and rights, or run `robbie init` again") from None
    secrets = {}
    for number, line in enumerate(text.splitlines(), start=1):
        key, equals, value = line.partition("=")
        if not equals and line.strip() and not line.startswith("#"):
            raise ConfigError("is not KEY=value", file=file, line=number, repair="correct the line, or run `robbie init`")
        secrets[key.strip()] = value.strip()
    return secrets


def _contradictions(config: Config) -> Iterator[tuple[tuple[str | int, ...], Refused]]:
    """What no single value shows to be wrong: the key to correct, and why."""
    named = (("brain", "levels"), config.brain.levels), (("mesh", "nodes"), config.mesh.nodes), (("people",), config.people)
    for path, entries in (*named, (("tools", "mcp"), config.tools.mcp)):
        names = [entry.name for entry in entries]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield (*path, index, "name"), Refused(f'there are two named "{name}"', "give each its own name")
    owners = [index for index, person in enumerate(config.people) if person.role == "owner"]
    for index in owners[1:]:
        yield ("people", index, "role"), Refused("there can be only one owner", 'write role = "member"')
    for index, person in enumerate(config.people):
        if not owners and person.name == config.robbie.owner:
            yield ("people", index, "role"), Refused("robbie.owner names this person as the owner", 'write role = "owner"')
    memory = config.memory
    if memory.embedder in ("ollama", "openai") and not memory.embedding_model:
        yield ("memory", "embedding_model"), Refused("no model is named", 'such as "nomic-embed-text", or write memory.embedder = "auto"')
    if memory.embedder == "openai" and not (memory.api_key or memory.base_url):
        yield ("memory", "api_key"), Refused("it is empty or missing", 'such as "env:OPENAI_API_KEY", or write memory.embedder = "auto"')
    yield from _closed_doors(config)
    yield from _useless_tools(config)


def _closed_doors(config: Config) -> Iterator[tuple[tuple[str | int, ...], Refused]]:
    """What channels lack that are switched on."""
    slack, telegram, email = config.slack, config.telegram, config.email
    has_oauth = bool(slack.client_id)
    needed: dict[str, dict[str, object]] = {
        "slack": {
            "bot_token": slack.bot_token or has_oauth,
            "client_secret": slack.client_secret or not has_oauth,
            "app_token": slack.app_token or slack.mode != "socket",
            "signing_secret": slack.signing_secret or slack.mode != "http",
        },
        "telegram": {"token": telegram.token, "secret_token": telegram.secret_token or telegram.mode != "webhook"},
        "email": {
            "password": email.password or (email.oauth and email.oauth.refresh_token),
            "address": "@" in email.address,
            "imap": email.imap,
            "smtp": email.smtp,
        },
    }
    for channel, keys in needed.items():
        for key, value in keys.items() if getattr(config, channel).enabled else ():
            if not value:
                repair = f"set it (`robbie init` helps), or write {channel}.enabled = false"
                yield (channel, key), Refused(f"{channel} is enabled, and this is empty or missing", repair)
    if telegram.enabled and telegram.mode == "webhook" and not config.web.public_url.startswith("https://"):
        yield ("web", "public_url"), Refused("Telegram sends webhooks to an https address only", 'write public_url = "https://…"')


def _useless_tools(config: Config) -> Iterator[tuple[tuple[str | int, ...], Refused]]:
    """What is said of tools and cannot be."""
    for index, level in enumerate(config.brain.levels):
        if level.provider == "local" and level.tools == "native":
            yield ("brain", "levels", index, "tools"), Refused("the embedded model has no tools of its own", 'write tools = "text"')
    for index, server in enumerate(config.tools.mcp):
        if bool(server.command) == bool(server.url):
            yield ("tools", "mcp", index, "command"), Refused("a server has a command or a url", "write one of the two")
        if unknown := [name for name in server.safe if name not in server.allow]:
            yield ("tools", "mcp", index, "safe"), Refused(f'"{unknown[0]}" is not in allow', "add it there, or remove it here")


def _first_of(tree: Table, error: ValidationError) -> ConfigError:
    """The first of pydantic's complaints, in the order in which a reader of the files meets them; a missing key may be a misspelt one."""
    complaints = []
    for found in sorted(error.errors(include_url=False, include_input=False), key=lambda each: each["type"] == "missing"):
        path, refused = found["loc"], found.get("ctx", {}).get("error")
        section = _section(path[:-1])
        known = tuple(section.model_fields) if section else ()
        if isinstance(refused, Refused):
            message, repair = str(refused), refused.repair
        elif found["type"] == "extra_forbidden":
            near = nearest(str(path[-1]), known)
            message, repair = "is no key of Robbie's", f"did you mean {near}?" if near else f"known here: {', '.join(known)}"
        else:
            message, repair = found["msg"].replace("Input should", "should").replace("Field required", "is missing"), _example(path)
        complaints.append(_config_error(tree, path, message, repair))
    return min(complaints, key=lambda complaint: (complaint.file is None, str(complaint.file), complaint.line or 0))


def _config_error(tree: Table, path: tuple[str | int, ...], message: str, repair: str) -> ConfigError:
    """An error about the value at *path*, with the place where it was written."""
    name, place, _ = tree.find(path)
    return ConfigError(message, key=place.variable or name, file=place.file, line=place.line, repair=repair)


def _section(path: tuple[str | int, ...]) -> type[Section] | None:
    """The section that *path* leads to."""
    section: type[Section] | None = Config
    for part in path:
        if isinstance(part, str):
            field = section.model_fields.get(part) if section else None
            inner = (field.annotation, *get_args(field.annotation)) if field else ()
            section = next((kind for kind in inner if isinstance(kind, type) and issubclass(kind, Section)), None)
    return section


def _example(path: tuple[str | int, ...]) -> str:
    """What could stand at *path*: its default, or an example."""
    section = _section(path[:-1]) if path else None
    field = section.model_fields.get(str(path[-1])) if section else None
    for value in (field.default, *(field.examples or ())) if field else ():
        if isinstance(value, str | int | float) and value != "":
            return f"for example {path[-1]} = {json.dumps(value)}"
    return ""
