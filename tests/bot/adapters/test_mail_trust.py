"""Whom a mail is believed to come from, and who is never answered. Whatever is not plainly good is not believed."""

from __future__ import annotations

import pytest

from bot.adapters.mail_trust import LONGEST, authserv_id_of, is_answerable, is_robot, is_vouched_for

OURS = "mx.example.org"


@pytest.mark.parametrize(
    "results",
    [
        ["mx.example.org; dmarc=pass header.from=example.com"],
        ["MX.Example.org 1; spf=fail smtp.mailfrom=x@y.z; dmarc = pass (p=NONE sp=QUARANTINE) header.from=Example.com"],
        ['"mx.example.org"; dmarc=pass reason="all (is) well; yes" header.from=example.com'],
        ['mx.example.org (a (nested; dmarc=fail) "comment); dkim=pass header.i=@example.com header.s=a header.b=ab/c+d==; dmarc=none'],
        ["mx.example.org;\tdkim=fail header.d=example.com; dkim=pass header.d=example.com"],
        ["other.example.net; dmarc=fail header.from=example.com", "mx.example.org; dmarc=pass header.from=example.com"],
    ],
)
def test_our_own_server_is_believed(results: list[str]) -> None:
    assert is_vouched_for(results, authserv_id=OURS, domain="example.com")


@pytest.mark.parametrize(
    "results",
    [
        [],
        ["mx.example.org; none"],
        ["mx.example.org; dmarc=fail header.from=example.com; dkim=pass header.d=example.com"],
        ["mx.example.org; dmarc=pass header.from=evil.net"],
        ["mx.example.org; dmarc=pass"],
        ["mx.example.org; dmarc=pass header.from=example.com; dmarc=fail header.from=example.com"],
        ["mx.example.org; dmarc=bestguesspass header.from=example.com"],
        ["mx.example.org; dkim=pass header.d=evil.net"],
        ["mx.example.org; dkim=pass header.d=mail.example.com"],
        ["mx.example.org; dkim=pass header.d=notexample.com"],
        ["mx.example.org; dkim=pass header.d=com"],
        ["mx.example.org; dkim=pass header.d=evil.net header.d=example.com"],
        ["mx.example.org; spf=pass smtp.mailfrom=allan@example.com"],
        ["mx.example.org; x=(dmarc=pass header.from=example.com)"],
        ['mx.example.org; spf=fail reason="; dmarc=pass header.from=example.com"'],
        ["mx.example.org; dmarc=pa(no)ss header.from=example.com"],
        ["mx.example.org; dmarc=pass header.from=example.com (never ended"],
        ["mx.example.org) ; dmarc=pass header.from=example.com"],
        ['mx.example.org; dmarc=pass header.from=example.com; spf=pass smtp.mailfrom="x'],
        ["mx.example.org; dmarc=pass header.from=example.com; ???"],
        ["mx.example.org\\; dmarc=pass header.from=example.com"],
        ["mx.example.org.evil.net; dmarc=pass header.from=example.com"],
        ["evil.net (mx.example.org); dmarc=pass header.from=example.com"],
        ["mx.example.org; dkim=none", "mx.example.org; dmarc=pass header.from=example.com"],
        ["mx.example.org; dmarc=pass header.from=example.com" + " " * LONGEST],
        ["spf=pass (sender IP is 1.2.3.4) smtp.mailfrom=example.com; dmarc=pass header.from=example.com"],
    ],
)
def test_nothing_else_is(results: list[str]) -> None:
    assert not is_vouched_for(results, authserv_id=OURS, domain="example.com")


def test_who_set_no_server_believes_none() -> None:
    assert not is_vouched_for(["; dmarc=pass header.from=example.com"], authserv_id="", domain="example.com")
    assert not is_vouched_for(["mx.example.org; dmarc=pass header.from="], authserv_id=OURS, domain="")
    assert authserv_id_of("((((") == ""


def test_a_parent_may_sign_for_its_child() -> None:
    assert is_vouched_for(["mx.example.org; dkim=pass header.d=example.com"], authserv_id=OURS, domain="mail.example.com")


@pytest.mark.parametrize(
    "headers",
    [
        {"auto-submitted": "auto-replied"},
        {"auto-submitted": "auto-generated; owner-email=x@y"},
        {"return-path": "<>"},
        {"precedence": "Bulk"},
        {"precedence": "list"},
        {"list-id": "<all.example.com>"},
        {"list-unsubscribe": "<https://x>"},
        {"x-auto-response-suppress": "All"},
        {"x-robbie": "1"},
    ],
)
def test_robots_and_lists_are_not_answered(headers: dict[str, str]) -> None:
    assert not is_answerable(headers, content_type="text/plain")


def test_people_are() -> None:
    headers = {"auto-submitted": "No", "return-path": "<a@b>", "precedence": "first-class", "x-auto-response-suppress": "none"}
    assert is_answerable(headers, content_type="text/plain")
    assert not is_answerable(headers, content_type="multipart/report")


def test_addresses_that_nobody_reads() -> None:
    robots = [
        "mailer-daemon@x",
        "postmaster@x",
        "noreply@x",
        "no-reply@x",
        "no-reply+12@x",
        "donotreply@x",
        "do-not-reply@x",
        "bounces-7@x",
    ]
    assert [account for account in robots if not is_robot(account)] == []
    assert [account for account in ("nora@x", "noreplyson@x", "post@x") if is_robot(account)] == []
