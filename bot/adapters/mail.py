"""Reads a mail, written by anybody, into an `Inbound`. Pure; nothing that stands in a mail is obeyed here."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from email.message import Message

from bot.adapters.mail_parts import clean, decoded, files_of, headers_of, media_type_of, name_of, parse, size_of, words_of
from bot.adapters.mail_text import Quoting
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

ADDRESS = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[a-z0-9-]+(?:\.[a-z0-9-]+)*", re.IGNORECASE)
MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,248}>")
_FROM = re.compile(rf"\s*(?:(\"(?:[^\"\\]|\\.)*\"|[^\"<>@,;:()\[\]]*)\s*<({ADDRESS.pattern})>|({ADDRESS.pattern}))\s*", re.IGNORECASE)
_READER = re.compile(r"[^\s<>,;:\"()]+@[^\s<>,;:\"()]+")
_COMMAND = re.compile(r"/[a-z]", re.IGNORECASE)
_PARAGRAPH_END = re.compile(r"\n\s*\n")


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
        thread = _thread(tops, mail) | {"from": account, "name": name}
        text, quoted = self.quoting.part(words_of(message))
        text = text or thread["subject"]  # some say all of it there
        is_command = is_verified and _COMMAND.match(text) is not None
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
            text=_PARAGRAPH_END.split(text)[0] if is_command else text,
            quoted=quoted,
            at=mail.at,
            attachments=_attachments(message, mail),
            thread=thread | {"text": _shortened(text)},
            is_verified=is_verified,
            wants_reply=self._may_answer(account) and is_answerable(tops, content_type=message.get_content_type()),
            raw=_kept(mail),
        )

    def to_unreadable(self, mail: Mail) -> Inbound:
        """What is kept of a mail that could not be read."""
        made = _made_id(mail)
        return Inbound(
            id=new_id(),
            address=Address(channel=CHANNEL, conversation=f"{UNKNOWN}/unverified/{made}", session_type=SessionType.SHARED),
            sender=Sender(channel=CHANNEL, account=UNKNOWN),
            external_id=made,
            text="",
            at=mail.at,
            is_verified=False,
            wants_reply=False,
            raw=_kept(mail),
        )

    def _may_answer(self, account: str) -> bool:
        return account not in {UNKNOWN, self.address.lower()} and not is_robot(account)


def sender_of(values: list[str]) -> tuple[str, str]:
    """Address and name of the writer, by the mail's From headers: UNKNOWN unless that is one header with one plain address."""
    found = _FROM.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
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
        "to": decoded(tops.get("to", ""))[:1_000],
        "date": mail.at.isoformat(),
    }


def _attachments(message: Message, mail: Mail) -> tuple[Attachment, ...]:
    """The files that came with it; they stay on the server until they are fetched."""
    found = []
    for number, part in enumerate(files_of(message)):
        size, trouble = size_of(part), ""
        if not mail.is_whole:
            size, trouble = 0, f"the mail is too large ({mail.size >> 20} MB): its files stay where they are"
        elif size > LARGEST_FILE:
            trouble = f"larger than {LARGEST_FILE >> 20} MB"
        name, media_type = name_of(part, number + 1), media_type_of(part)
        found.append(Attachment(name=name, media_type=media_type, size=size, source=f"{mail.source}:{number}", trouble=trouble))
    return tuple(found)


def _made_id(mail: Mail) -> str:
    """An id for a mail that has none: the same each time it is read."""
    return f"<{hashlib.sha256(mail.raw).hexdigest()[:32]}@no.id>"


def _kept(mail: Mail) -> str:
    return clean(mail.raw[:LONGEST_RAW].decode("utf-8", "replace"))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]} […]"
