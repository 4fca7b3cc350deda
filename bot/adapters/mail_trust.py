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
from dataclasses import dataclass

LONGEST = 5_000
"""Characters of a header; a longer one is not believed."""

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_STRING = re.compile(_QUOTED, re.DOTALL)
_ID = re.compile(rf"\s*({_QUOTED}|[^\s;\"=]+)(?:\s+\d+)?\s*")
_PROPERTY = rf"([a-z][\w.-]*)\s*=\s*({_QUOTED}|[^\s\"]+)"
_PROPERTIES = re.compile(_PROPERTY, re.IGNORECASE)
_TEST = re.compile(rf"\s*([a-z][\w-]*)(?:\s*/\s*\d+)?\s*=\s*([a-z]+)((?:\s+{_PROPERTY})*)\s*", re.IGNORECASE)
_ROBOT = re.compile(r"(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?)(?:[+_.-].*)?")
_BULK = frozenset({"bulk", "list", "junk", "auto_reply"})
_OF_ROBOTS = ("list-id", "list-unsubscribe", "x-robbie", "x-autoreply", "x-autorespond")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tested:
    """One test that a server made of a mail: dmarc, pass, ((header.from, example.com),)."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...]

    def only(self, name: str) -> str:
        """The one property of this name; "" where there are none or several."""
        values = [value for each, value in self.properties if each == name]
        return values[0] if len(values) == 1 else ""


def is_vouched_for(results: Sequence[str], *, authserv_id: str, domain: str) -> bool:
    """Whether the server *authserv_id* vouches for a From of *domain*; *results* are a mail's headers of that name, the topmost first."""
    ours = [header for header in results if authserv_id and authserv_id_of(header) == authserv_id.lower()]
    tests = _read(ours[0]) if ours and domain else []
    dmarc = [test for test in tests if test.method == "dmarc"]
    if any(test.result != "none" for test in dmarc):
        return len(dmarc) == 1 and dmarc[0].result == "pass" and dmarc[0].only("header.from") == domain
    return any(_signed_for(domain, test) for test in tests if test.method == "dkim" and test.result == "pass")


def authserv_id_of(header: str) -> str:
    """Whose results these are, in lower case; "" where that cannot be read."""
    found = _ID.fullmatch(_sections(header)[0])
    return found.group(1).strip('"').lower() if found else ""


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


def _signed_for(domain: str, test: _Tested) -> bool:
    signer = test.only("header.d") or test.only("header.i").rpartition("@")[2]
    return "." in signer and (domain == signer or domain.endswith(f".{signer}"))


def _read(header: str) -> list[_Tested]:
    """The tests in a header, in lower case; none where any of them cannot be read."""
    tests = []
    for section in _sections(header)[1:]:
        test = _TEST.fullmatch(section)
        if test is not None:
            method, result, properties = (text.lower() for text in test.groups()[:3])
            pairs = tuple((name, value.strip('"')) for name, value in _PROPERTIES.findall(properties))
            tests.append(_Tested(method=method, result=result, properties=pairs))
        elif section.strip().lower() not in {"", "none"}:
            return []
    return tests


def _sections(header: str) -> list[str]:
    """What stands between semicolons, a space for each comment; one empty section where comments or quotes do not end."""
    sections, depth, at = [""], 0, 0
    while at < len(header) <= LONGEST:
        string = _STRING.match(header, at) if depth == 0 else None
        piece = string.group() if string else header[at : at + 2] if header[at] == "\\" else header[at]
        at += len(piece)
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if depth < 0 or (depth == 0 and piece[0] in '"\\' and not string):
            return [""]
        if piece == ";" and depth == 0:
            sections.append("")
        elif depth == 0:
            sections[-1] += " " if piece == ")" else piece
    return [""] if depth else sections
