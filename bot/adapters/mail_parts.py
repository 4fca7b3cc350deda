"""A mail taken apart: headers, words and files. It may be broken in any way: what can be read is read, and nothing raises."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from email import message_from_bytes
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser

from bot.adapters.mail_html import html_to_text

LONGEST_TEXT = 100_000
LONGEST_HEADER = 8_000
MOST_PARTS = 10_000
MOST_FILES = 100

_MEDIA_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NOT_IN_NAMES = re.compile('[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069<>:"|?*`]+')


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
    text = value
    with suppress(Exception):  # as in `_told`
        pieces = decode_header(value)
        text = "".join(
            piece if isinstance(piece, str) else decode(piece, charset) if charset else piece.decode("raw-unicode-escape", "replace")
            for piece, charset in pieces
        )
    return " ".join(clean(text).split())


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


def size_of(part: Message) -> int:
    """About how many bytes it has, without decoding them."""
    payload = part.get_payload()
    if not isinstance(payload, str):
        return len(content_of(part))
    return len(payload) * 3 // 4 if _told(lambda: part["Content-Transfer-Encoding"]).strip().lower() == "base64" else len(payload)


def name_of(part: Message, number: int) -> str:
    """A harmless file name: the last part of the path that it came with, without what means something to a shell or a system."""
    name = _NOT_IN_NAMES.sub("_", re.split(r"[/\\]", decoded(_told(part.get_filename)))[-1]).strip(". ")
    stem, dot, suffix = name.rpartition(".")
    name = f"{stem[:100]}{dot}{suffix[:20]}" if dot else name[:100]
    return name or f"attachment-{number}{mimetypes.guess_extension(media_type_of(part)) or ''}"


def media_type_of(part: Message) -> str:
    """What kind of file it says it is."""
    kind = part.get_content_type()
    return kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"


def decode(content: bytes, charset: str) -> str:
    """*content* as text; of a wrong or unknown charset, as well as it can be."""
    for each in dict.fromkeys(("utf-8" if charset.lower() in {"", "us-ascii", "ascii"} else charset, "utf-8")):
        with suppress(LookupError, ValueError):
            return content.decode(each)
    with suppress(LookupError, ValueError):
        return content.decode(charset or "latin-1", "replace")
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
