"""Whether a mail's From can be believed, by what our own mail server wrote down about it (RFC 8601), and who is never to be answered.

Everything in a mail is its sender's word, but for what our own server put on top. So only the topmost Authentication-Results under that
server's name counts (it must remove what comes in under its name, as RFC 8601 demands), and it is believed where
1. DMARC passed for the domain of From; or
2. there is no DMARC policy, and DKIM passed for that domain or a parent of it: anybody else's signature says nothing.
SPF alone is not enough: it vouches for who carried the mail, and great carriers carry for many. What cannot be read is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

LONGEST = 5_000
"""Characters of a header; a longer one is not believed."""

_QUOTED_OR_COMMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)', re.DOTALL)
_MEANS_SOMETHING = re.compile(r'[\s"();=\\]')
_ID = re.compile(r"\s*([^\s=]+)(?:\s+\d+)?\s*")
_PROPERTY = re.compile(r"\s+([a-z][\w.-]*)\s*=\s*(\S+)")
_TEST = re.compile(rf"\s*([a-z][\w-]*)(?:\s*/\s*\d+)?\s*=\s*([a-z]+)((?:{_PROPERTY.pattern})*)\s*")
_ROBOT = re.compile(r"(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?)(?:[+_.-].*)?")
_BULK = frozenset({"bulk", "list", "junk", "auto_reply"})
_OF_ROBOTS = ("list-id", "list-unsubscribe", "x-robbie", "x-autoreply", "x-autorespond")


def is_vouched_for(results: Sequence[str], *, authserv_id: str, domain: str) -> bool:
    """Whether the server *authserv_id* vouches for a From of *domain*; *results* are a mail's headers of that name, the topmost first."""
    ours = [header for header in results if authserv_id and authserv_id_of(header) == authserv_id.lower()]
    tests = _read(ours[0]) if ours and domain else []
    dmarc = [(result, told.get("header.from")) for method, result, told in tests if method == "dmarc"]
    if any(result != "none" for result, _ in dmarc):
        return dmarc == [("pass", domain)]
    return any(_signed_for(domain, told) for method, result, told in tests if (method, result) == ("dkim", "pass"))


def authserv_id_of(header: str) -> str:
    """Whose results these are, in lower case; "" where that cannot be read."""
    found = _ID.fullmatch(_sections(header)[0])
    return found[1] if found else ""


def is_answerable(headers: Mapping[str, str], *, content_type: str) -> bool:
    """Whether a person waits for an answer: no robot, no list, no report. *headers* are the topmost of each, by lower-case name."""
    said = {name: value.strip().lower() for name, value in headers.items()}
    return not (
        said.get("return-path") == "<>"
        or said.get("auto-submitted", "no").partition(";")[0].strip() != "no"
        or said.get("precedence") in _BULK
        or said.get("x-auto-response-suppress", "none") != "none"
        or any(name in said for name in _OF_ROBOTS)
        or content_type == "multipart/report"
    )


def is_robot(account: str) -> bool:
    """Whether nobody reads what is sent to this address."""
    return _ROBOT.fullmatch(account.partition("@")[0]) is not None


def _signed_for(domain: str, told: Mapping[str, str]) -> bool:
    signer = told.get("header.d") or told.get("header.i", "").rpartition("@")[2]
    return "." in signer and (domain == signer or domain.endswith(f".{signer}"))


def _read(header: str) -> list[tuple[str, str, Mapping[str, str]]]:
    """The tests in a header: method, result, and what is told once of it; none where any of them cannot be read."""
    sections = [section for section in _sections(header)[1:] if section.strip() not in {"", "none"}]
    tests = [found.groups() for section in sections if (found := _TEST.fullmatch(section))]
    if len(tests) < len(sections):
        return []
    told = [_PROPERTY.findall(properties) for _, _, properties, *_ in tests]
    once = [{name: value for name, value in pairs if [each for each, _ in pairs].count(name) == 1} for pairs in told]
    return [(test[0], test[1], properties) for test, properties in zip(tests, once, strict=True)]


def _sections(header: str) -> list[str]:
    """What stands between semicolons, in lower case, comments left out; one empty section where comments or quotes do not end."""
    plain = _QUOTED_OR_COMMENT.sub(lambda found: _MEANS_SOMETHING.sub("_", found[1]) if found[1] else " ", header[:LONGEST])
    return [""] if len(header) > LONGEST or re.search(r'["()\\]', plain) else plain.lower().split(";")
