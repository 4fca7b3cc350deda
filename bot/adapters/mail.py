"""Reads a mail, written by anybody, into an `Inbound`. Pure; nothing that stands in a mail is obeyed here.

It may be broken in any way: what can be read is read, and nothing raises.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from email import message_from_bytes
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser

from bot.adapters.mail_text import Quoting, html_to_text
from bot.adapters.mail_trust import is_answerable, is_robot, is_vouched_for
from bot.domain.address import Address, Sender, SessionType
from bot.domain.clock import new_id
from bot.domain.message import Attachment, Inbound, InboundKind

CHANNEL = "email"
UNKNOWN = "unknown"
"""The account of a mail that does not say plainly who wrote it."""
LARGEST_FILE = 25 << 20
LONGEST_RAW = 256 << 10
LONGEST_SUBJECT = 300
LONGEST_QUOTE = 4_000
"""Characters of a mail that stand under the answer to it."""
MOST_REFERENCES = 20
LONGEST_TEXT = 100_000
LONGEST_HEADER = 8_000
LONGEST_NAME = 100
MOST_PARTS = 10_000
MOST_FILES = 100

ADDRESS = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[a-z0-9-]+(?:\.[a-z0-9-]+)*", re.IGNORECASE)
MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,248}>")
_FROM = re.compile(rf"\s*(?:(\"(?:[^\"\\]|\\.)*\"|[^\"<>@,;:()\[\]]*)\s*<({ADDRESS.pattern})>|({ADDRESS.pattern}))\s*", re.IGNORECASE)
_READER = re.compile(r"[^\s<>,;:\"()]+@[^\s<>,;:\"()]+")
_COMMAND = re.compile(r"/[a-z]", re.IGNORECASE)
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_LETTER = re.compile(r"/(?:edit|approve)\s+\w+(?:[ \t]+|[ \t]*\n)[ \t]*\S", re.IGNORECASE)
"""A command with words for somebody, who may be written to in more than one paragraph."""
_GONE = re.compile(r"5\.\d{1,3}\.\d{1,3}")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NOT_IN_NAMES = re.compile('[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069<>:"|?*`]+')


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """A mail as its server gave it: where it lies ("UIDVALIDITY:UID"), when it came, its size in bytes, and its source or the beginning."""

    source: str
    at: datetime
    size: int
    raw: bytes
    is_whole: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class MailReader:
    """Reads what comes to *address*, whose own server is called *authserv_id*."""

    address: str
    authserv_id: str
    quoting: Quoting

    def to_inbound(self, mail: Mail) -> Inbound:
        """The mail as a message; as a command, where its first words are one and its sender is who they say."""
        message = parse(mail.raw)
        headers = headers_of(message)
        tops = {name: values[0] for name, values in headers.items()}
        account, name = sender_of(headers.get("from", []))
        results = headers.get("authentication-results", [])
        is_verified = is_vouched_for(results, authserv_id=self.authserv_id, domain=account.rpartition("@")[2])
        thread = _thread(tops, mail) | {"from": account, "name": name} | lost_by(message)
        text, quoted = self.quoting.part(words_of(message))
        text = text or thread["subject"]  # some say all of it there
        is_command = is_verified and _COMMAND.match(text) is not None
        if is_command and _LETTER.match(text) is None:
            text = _PARAGRAPH_END.split(text)[0]
        is_written_to = account not in {UNKNOWN, self.address.lower()} and not is_robot(account)
        root = (thread["references"].split() or [thread["message_id"]])[0]
        readers = {reader.lower() for each in ("to", "cc") for value in headers.get(each, []) for reader in _READER.findall(value)}
        return Inbound(
            id=new_id(),
            address=Address(
                channel=CHANNEL,
                # whoever only claims to be somebody gets into no conversation of theirs
                conversation=f"{account}/{root if is_verified else f'unverified/{root}'}",
                session_type=SessionType.PRIVATE if readers == {self.address.lower()} else SessionType.SHARED,
            ),
            sender=Sender(channel=CHANNEL, account=account, name=name),
            external_id=thread["message_id"],
            kind=InboundKind.COMMAND if is_command else InboundKind.MESSAGE,
            text=text,
            quoted=quoted,
            at=mail.at,
            attachments=_attachments(message, mail),
            thread=thread | {"text": text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]} […]"},
            is_verified=is_verified,
            wants_reply=is_written_to and is_answerable(tops, content_type=message.get_content_type()),
            raw=_kept(mail),
        )

    def to_unreadable(self, mail: Mail) -> Inbound:
        """What is kept of a mail that could not be read."""
        return replace(self.to_inbound(replace(mail, raw=b"")), external_id=_made_id(mail), raw=_kept(mail))


def sender_of(values: list[str]) -> tuple[str, str]:
    """Address and name of the writer, by the mail's From headers: UNKNOWN unless that is one header with one plain address."""
    if len(values) != 1 or (found := _FROM.fullmatch(values[0])) is None:
        return UNKNOWN, ""
    name, bracketed, bare = found.groups()
    return (bracketed or bare).lower(), decoded((name or "").strip().strip('"'))[:100]


def _thread(tops: dict[str, str], mail: Mail) -> dict[str, str]:
    """What an answer must know to find its place."""
    own, answered = MESSAGE_ID.findall(tops.get("message-id", "")), MESSAGE_ID.findall(tops.get("in-reply-to", ""))
    references = MESSAGE_ID.findall(tops.get("references", "")) or answered[:1]
    return {
        "subject": decoded(tops.get("subject", ""))[:LONGEST_SUBJECT],
        "message_id": own[0] if own else _made_id(mail),
        "in_reply_to": answered[0] if answered else "",
        "references": " ".join(references[:1] + references[1:][-MOST_REFERENCES:]),
        "date": mail.at.isoformat(),
    }


def lost_by(message: Message) -> dict[str, str]:
    """Of a report that a mail cannot be delivered, now or ever (RFC 3464): that mail's id, `lost`, and the `status`, as 5.1.1."""
    parts: object = message.get_payload()
    if message.get_content_type() != "multipart/report" or not isinstance(parts, list):
        return {}
    told: dict[str, str] = {}
    for part in parts[:MOST_FILES]:  # what is told of the delivery, and the mail itself, or its headers alone
        inner: object = part.get_payload() if isinstance(part, Message) else ""
        kind = part.get_content_type() if isinstance(part, Message) else ""
        blocks = [message_from_bytes(content_of(part))] if kind == "text/rfc822-headers" else inner if isinstance(inner, list) else []
        for block in blocks[:MOST_FILES] if kind.startswith(("message/", "text/rfc822-headers")) else []:
            told = {name: values[0].strip() for name, values in headers_of(block).items()} | told
    gone, ids = _GONE.match(told.get("status", "")), MESSAGE_ID.findall(told.get("message-id", ""))
    return {"lost": ids[0], "status": gone[0]} if gone and ids and told.get("action", "").lower() == "failed" else {}


def _attachments(message: Message, mail: Mail) -> tuple[Attachment, ...]:
    """The files that came with it; they stay on the server until they are fetched."""
    found = []
    for number, part in enumerate(files_of(message)):
        size, trouble = len(content_of(part)) if mail.is_whole else 0, ""
        if not mail.is_whole:
            trouble = f"the mail is too large ({mail.size >> 20} MB): its files stay where they are"
        elif size > LARGEST_FILE:
            trouble = f"larger than {LARGEST_FILE >> 20} MB"
        name, kind = name_of(part, number + 1), clean(part.get_content_type())[:LONGEST_NAME]
        found.append(Attachment(name=name, media_type=kind, size=size, source=f"{mail.source}:{number}", trouble=trouble))
    return tuple(found)


def _made_id(mail: Mail) -> str:
    """An id for a mail that has none: the same each time it is read."""
    return f"<{hashlib.sha256(mail.raw).hexdigest()[:32]}@no.id>"


def _kept(mail: Mail) -> str:
    return clean(mail.raw[:LONGEST_RAW].decode("utf-8", "replace"))


def parse(raw: bytes) -> Message:
    """The mail as a tree; its headers alone where it has absurdly many parts, or parts within parts within parts."""
    with suppress(RecursionError):
        if raw.count(b"\n--") <= MOST_PARTS:
            return message_from_bytes(raw)
    return BytesHeaderParser().parsebytes(raw)


def headers_of(message: Message) -> Mapping[str, list[str]]:
    """All values of each header, the topmost first, unfolded and still encoded, by lower-case names; a very long one is cut."""
    found: dict[str, list[str]] = {}
    for name, value in message.raw_items():
        text = str(value)[:LONGEST_HEADER].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        found.setdefault(name.lower(), []).append(clean(text.replace("\r", "").replace("\n", "")))
    return found


def decoded(value: str) -> str:
    """A header with its encoded words decoded, in one line."""
    with suppress(Exception):  # as in `_told`
        pieces = [(each.encode("raw-unicode-escape") if isinstance(each, str) else each, name) for each, name in decode_header(value)]
        value = "".join(decode(each, name) if name else each.decode("raw-unicode-escape", "replace") for each, name in pieces)
    return " ".join(clean(value).split())


def words_of(message: Message) -> str:
    """What a mail says, of a bounded length; of HTML only what the same mail does not tell in plain text as well."""
    parts = [(part, group) for part, group in _leaves(message) if _is_text(part)][:MOST_FILES]
    plain = {id(part): _text(part) for part, _ in parts if part.get_content_subtype() != "html"}
    told = {group for part, group in parts if group and plain.get(id(part), "").strip()}
    words = [plain.get(id(part)) or html_to_text(_text(part)) for part, group in parts if id(part) in plain or group not in told]
    return clean("\n".join(each for each in words if each.strip()))[:LONGEST_TEXT]


def files_of(message: Message) -> list[Message]:
    """The parts that are no words: attachments, pictures within the text, mails that are passed on."""
    return [part for part, _ in _leaves(message) if not _is_text(part)][:MOST_FILES]


def content_of(part: Message) -> bytes:
    """The bytes of a part, as far as they can be decoded."""
    with suppress(Exception):  # as in `_told`
        if part.is_multipart():  # a mail that is passed on
            return b"".join(bytes(inner) for inner in part.get_payload() if isinstance(inner, Message))
        content = part.get_payload(decode=True)
        return content if isinstance(content, bytes) else b""
    return b""


def name_of(part: Message, number: int) -> str:
    """A harmless file name: the last part of the path that it came with, without what means something to a shell or a system."""
    name = _NOT_IN_NAMES.sub("_", re.split(r"[/\\]", decoded(_told(part.get_filename)))[-1])[-LONGEST_NAME:].strip(". ")
    return name or f"attachment-{number}{mimetypes.guess_extension(part.get_content_type()) or ''}"


def decode(content: bytes, charset: str) -> str:
    """*content* as text; of a wrong or unknown charset, as well as it can be."""
    for name, errors in ((charset or "utf-8", "strict"), ("utf-8", "strict"), (charset or "latin-1", "replace")):
        with suppress(LookupError, ValueError):
            return content.decode(name, errors)
    return content.decode("latin-1")


def clean(text: str) -> str:
    """*text* without what no database keeps and no terminal should be told."""
    return _CONTROLS.sub("\ufffd", text)


def _leaves(message: Message) -> Iterator[tuple[Message, int]]:
    """The parts that hold something, in order, each with the mark of the alternatives that it is one of (0: of none)."""
    waiting = [(message, 0)]
    while waiting:
        part, group = waiting.pop()
        payload = part.get_payload()
        if isinstance(payload, list) and part.get_content_maintype() != "message":
            group = id(part) if part.get_content_subtype() == "alternative" else group
            waiting += [(each, group) for each in reversed(payload) if isinstance(each, Message)]
        else:
            yield part, group


def _is_text(part: Message) -> bool:
    """Whether it is something to read and no file; so is a multipart whose parts cannot be told apart."""
    is_broken = part.get_content_maintype() == "multipart"
    is_file = _told(part.get_content_disposition) == "attachment" or _told(part.get_filename)
    return (is_broken or part.get_content_type() in {"text/plain", "text/html"}) and not is_file


def _text(part: Message) -> str:
    content = content_of(part) if isinstance(part.get_payload(), str) else b""
    return decode(content[: 4 * LONGEST_TEXT], _told(part.get_content_charset)).replace("\r\n", "\n")


def _told(ask: Callable[[], object]) -> str:
    """What a part tells of itself; the standard library meets broken ones with exceptions of every kind."""
    try:
        return str(ask() or "")
    except Exception:  # noqa: BLE001
        return ""
