"""Writes an `Outgoing` as a mail: in its place in the thread, to one reader, with a word to every robot not to answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from html import escape
from textwrap import shorten

from bot.adapters.mail import ADDRESS, LONGEST_SUBJECT, MESSAGE_ID
from bot.adapters.markup import to_html, to_plain
from bot.domain.errors import DeliveryRejected
from bot.domain.message import Attachment, Outgoing, OutgoingKind

LONGEST_TITLE = 50
"""Characters of a message that become the subject of a mail which answers none."""
UNSUBSCRIBE = "unsubscribe"
HOW_TO_STOP = "\n\nIf you would rather not hear from me, answer with the one word “stop”, and I will not write again."

_ANSWERS = re.compile(r"^(?:(?:re|aw|antw|sv|vs)(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE)
_NOT_IN_HEADERS = re.compile("[\x00-\x20\x7f-\x9f\ud800-\udfff]+")
_QUOTATION = "margin:0 0 0 .8ex;border-left:1px solid #ccc;padding-left:1ex"


class _Policy(EmailPolicy):
    """What SMTP asks for; ids stay whole, for Python encodes long ones, which no mail program then knows again."""

    def fold_binary(self, name: str, value: str) -> bytes:
        """One header, in lines."""
        if name.lower() in {"message-id", "in-reply-to", "references"}:
            return (f"{name}: " + "\r\n ".join(value.split()) + "\r\n").encode("ascii", "replace")
        return super().fold_binary(name, value)


_POLICY = _Policy(linesep="\r\n", cte_type="7bit")


def message_id_of(outgoing: Outgoing, address: str) -> str:
    """The id of the mail that *outgoing* becomes, however often it is sent."""
    return f"<{outgoing.id}@{address.rpartition('@')[2]}>"


def reader_of(outgoing: Outgoing) -> str:
    """The one address it goes to: whoever wrote the mail that is answered, else whose conversation it is. Raises DeliveryRejected."""
    reader = outgoing.thread.get("from") or outgoing.address.conversation.partition("/")[0]
    if ADDRESS.fullmatch(reader) is None:
        raise DeliveryRejected("there is no mail address to send this to")
    return reader


def write(outgoing: Outgoing, *, address: str, at: datetime, files: Sequence[tuple[Attachment, bytes]] = ()) -> bytes:
    """The mail's source. Raises DeliveryRejected where it has no reader."""
    thread, letter = outgoing.thread, EmailMessage(policy=_POLICY)
    answered, references = _ancestors(outgoing)
    plain, page = _bodies(outgoing)
    letter["From"] = address
    letter["To"] = reader_of(outgoing)
    subject = _ANSWERS.sub("", _one_line(thread.get("subject", "")), count=1)
    is_outreach = outgoing.kind is OutgoingKind.OUTREACH
    answer = subject if is_outreach and not answered else f"Re: {subject}"
    letter["Subject"] = answer if thread else _title(outgoing.text, plain)
    letter["Date"] = format_datetime(at)
    letter["Message-ID"] = message_id_of(outgoing, address)
    if answered:
        letter["In-Reply-To"] = answered
        letter["References"] = references
    letter["Auto-Submitted"] = "auto-replied" if thread and not is_outreach else "auto-generated"
    if is_outreach:
        letter["List-Unsubscribe"] = f"<mailto:{address}?subject={UNSUBSCRIBE}>"
    letter["X-Auto-Response-Suppress"] = "All"
    letter["X-Robbie"] = "1"
    letter.set_content(plain)
    letter.add_alternative(page, subtype="html")
    for attachment, content in files:
        maintype, _, subtype = attachment.media_type.partition("/")
        letter.add_attachment(content, maintype=maintype, subtype=subtype or "octet-stream", filename=_one_line(attachment.name))
    return letter.as_bytes()


def _ancestors(outgoing: Outgoing) -> tuple[str, str]:
    """The id of the mail that is answered, and those of all before it with it; "" where the conversation knows of none."""
    known = MESSAGE_ID.findall(f"{outgoing.thread.get('references', '')} {outgoing.thread.get('message_id', '')}")
    known = known or MESSAGE_ID.findall(outgoing.address.conversation)
    known = [each for each in known if not each.startswith(f"<{outgoing.id}@")]  # the first of a thread is named like it
    return known[-1] if known else "", " ".join(dict.fromkeys(known))


def _bodies(outgoing: Outgoing) -> tuple[str, str]:
    said = outgoing.text + _choices(outgoing) + HOW_TO_STOP * (outgoing.kind is OutgoingKind.OUTREACH)
    plain, page = to_plain(said), to_html(said)
    thread = outgoing.thread
    if quoted := thread.get("text", ""):
        head = f"On {thread.get('date', '')[:16].replace('T', ' at ')} UTC, {thread.get('name', '')} <{thread.get('from', '')}> wrote:"
        plain += f"\n\n{head}\n" + "\n".join(f"> {line}".rstrip() for line in quoted.splitlines())
        lines = "<br>".join(escape(line) for line in quoted.splitlines())
        page += f'<p>{escape(head)}</p><blockquote type="cite" style="{_QUOTATION}">{lines}</blockquote>'
    return f"{plain}\n", f"<!doctype html><html><body>{page}</body></html>\n"


def _choices(outgoing: Outgoing) -> str:
    """What would be buttons elsewhere."""
    if not outgoing.buttons:
        return ""
    lines = [f"{number}. {button.label}: `{button.command}`" for number, button in enumerate(outgoing.buttons, start=1)]
    return "\n\n" + "\n".join(lines) + "\n\nAnswer with the number alone, or with the words behind it."


def _title(text: str, plain: str) -> str:
    """The subject of a mail that answers none: its own heading, if it begins with one."""
    first = plain.lstrip().partition("\n")[0]
    return _one_line(first) if text.startswith("# ") else f"Robbie: {shorten(_one_line(plain), LONGEST_TITLE, placeholder=' ...')}"


def _one_line(text: str) -> str:
    return _NOT_IN_HEADERS.sub(" ", text).strip()[:LONGEST_SUBJECT]
