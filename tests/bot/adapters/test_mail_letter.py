"""What is sent: to whom, in which thread, and as what a mail program shows."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import UUID

import pytest

from bot.adapters.mail_letter import write
from bot.domain.address import Address
from bot.domain.errors import DeliveryRejected
from bot.domain.message import Attachment, Button, Outgoing, OutgoingKind

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ID = UUID(int=7)
THREAD = {
    "subject": "Lunch",
    "message_id": "<three@x>",
    "references": "<one@x> <two@x>",
    "from": "allan@example.com",
    "name": "Allan",
    "to": "robbie@example.org, dana@example.com",
    "date": "2026-11-22T11:30:00+00:00",
    "text": "Shall we?\n<script>alert(1)</script>",
}


def letter(text: str = "Yes, **gladly**.", *, conversation: str = "allan@example.com/<one@x>", files=(), **more: object) -> EmailMessage:
    outgoing = Outgoing(id=ID, address=Address(channel="email", conversation=conversation), kind=OutgoingKind.ANSWER, text=text, **more)
    raw = write(outgoing, address="robbie@example.org", at=NOON, files=files)
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    return message_from_bytes(raw, policy=policy.default)


def test_an_answer_stands_in_its_thread() -> None:
    got = letter(thread=THREAD)
    assert (got["From"], got["To"], got["Cc"], got["Subject"]) == ("robbie@example.org", "allan@example.com", None, "Re: Lunch")
    assert got["Message-ID"] == f"<{ID}@example.org>"
    assert got["In-Reply-To"] == "<three@x>"
    assert got["References"].split() == ["<one@x>", "<two@x>", "<three@x>"]
    assert (got["Auto-Submitted"], got["X-Auto-Response-Suppress"], got["X-Robbie"]) == ("auto-replied", "All", "1")


@pytest.mark.parametrize("subject", ["Re: Lunch", "RE: Re: AW: Lunch", "Re[2]: Lunch"])
def test_re_is_said_once(subject: str) -> None:
    assert letter(thread=THREAD | {"subject": subject})["Subject"] == "Re: Lunch"


def test_it_is_written_twice_with_the_answered_mail_below() -> None:
    got = letter(thread=THREAD)
    plain, html = got.get_body(("plain",)).get_content(), got.get_body(("html",)).get_content()
    assert plain.splitlines()[0] == "Yes, gladly."
    assert plain.splitlines()[2:] == [
        "On 2026-11-22 at 11:30 UTC, Allan <allan@example.com> wrote:",
        "> Shall we?",
        "> <script>alert(1)</script>",
    ]
    assert "<strong>gladly</strong>" in html
    assert "<script>" not in html


def test_long_ids_stay_whole() -> None:
    """Python would encode them, and no mail program would know them again."""
    long = f"<{'x' * 120}@{'y' * 60}.example.com>"
    raw = write(
        Outgoing(
            id=ID,
            address=Address(channel="email", conversation="a@b.c/x"),
            kind=OutgoingKind.ANSWER,
            text="x",
            thread=THREAD | {"message_id": long},
        ),
        address="robbie@example.org",
        at=NOON,
    )
    assert f"In-Reply-To: {long}\r\n".encode() in raw


def test_no_header_can_be_smuggled_in() -> None:
    got = letter(
        thread=THREAD | {"subject": "Hi\r\nBcc: eve@evil.net\x00", "references": "<a@b>\r\nBcc: eve@evil.net", "name": "A\r\nX: y"}
    )
    assert got["Bcc"] is None
    assert got["Subject"] == "Re: Hi Bcc: eve@evil.net"


@pytest.mark.parametrize("to", ["", "nobody", "a@b.c, d@e.f", "a@b.c\r\nBcc: x@y.z", "unknown"])
def test_without_one_plain_reader_nothing_is_written(to: str) -> None:
    with pytest.raises(DeliveryRejected):
        letter(thread=THREAD | {"from": to}, conversation="unknown/x")


def test_a_notice_goes_to_whose_conversation_it_is() -> None:
    got = letter("The *first* words of something that goes on for quite a while and does not end.", conversation="allan@example.com/news")
    assert (got["To"], got["In-Reply-To"], got["Auto-Submitted"]) == ("allan@example.com", None, "auto-generated")
    assert got["Subject"] == "Robbie: The first words of something that goes on for ..."
    assert letter(conversation="allan@example.com/<root@x>")["References"] == "<root@x>"


def outreach(conversation: str, thread: dict[str, str]) -> EmailMessage:
    where = Address(channel="email", conversation=conversation)
    outgoing = Outgoing(id=ID, address=where, kind=OutgoingKind.OUTREACH, text="A word about the lease.", thread=thread)
    return message_from_bytes(write(outgoing, address="robbie@example.org", at=NOON), policy=policy.default)


def test_outreach_begins_a_thread_and_says_how_to_stop_it() -> None:
    got = outreach(f"bob@x.com/<{ID}@example.org>", {"from": "bob@x.com", "subject": "The lease"})
    assert (got["To"], got["Subject"], got["In-Reply-To"], got["References"]) == ("bob@x.com", "The lease", None, None)
    assert (got["Auto-Submitted"], got["List-Unsubscribe"]) == ("auto-generated", "<mailto:robbie@example.org?subject=unsubscribe>")
    for kind in ("plain", "html"):
        assert "answer with the one word “stop”" in got.get_body((kind,)).get_content()


def test_outreach_goes_on_where_there_is_a_thread() -> None:
    got = outreach("bob@x.com/<first@example.org>", {"from": "bob@x.com", "subject": "The lease"})
    assert (got["Subject"], got["In-Reply-To"]) == ("Re: The lease", "<first@example.org>")
    got = outreach("allan@example.com/<one@x>", THREAD)
    assert (got["Subject"], got["In-Reply-To"], got["Auto-Submitted"]) == ("Re: Lunch", "<three@x>", "auto-generated")
    assert "> Shall we?" in got.get_body(("plain",)).get_content()


def test_an_answer_offers_no_way_to_stop() -> None:
    assert letter(thread=THREAD)["List-Unsubscribe"] is None


def test_choices_are_numbered() -> None:
    buttons = (Button(label="Approve", command="/approve K7F2"), Button(label="Reject", command="/reject K7F2"))
    plain = letter("Shall I?", buttons=buttons).get_body(("plain",)).get_content()
    assert plain.splitlines()[2:5] == ["1. Approve: /approve K7F2", "2. Reject: /reject K7F2", ""]
    assert "Answer with the number" in plain


def test_files_and_any_language_arrive() -> None:
    file = Attachment(name="Bücher\r\nX: y.pdf", media_type="application/pdf")
    got = letter("Grüße 😊 " + "ä" * 2_000, files=[(file, b"\x00\x01")], thread=THREAD | {"subject": "Öl " * 60})
    [part] = got.iter_attachments()
    assert (part.get_filename(), part.get_content()) == ("Bücher X: y.pdf", b"\x00\x01")
    assert "😊" in got.get_body(("plain",)).get_content()
    assert got["Subject"].startswith("Re: Öl Öl")
