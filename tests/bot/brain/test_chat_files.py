"""What people said elsewhere is read as it was said; what is broken is told by its number and spoils nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.brain.chat_files import Said, read_chat

LINE = {"external_id": "1", "conversation": "home", "speaker": "Dana", "text": "hello", "at": "2023-05-08T13:56:00+02:00"}


def read(data: bytes | str, name: str = "chat.jsonl", zone: str = "Europe/Berlin") -> dict[int, Said | str]:
    return dict(read_chat(data.encode() if isinstance(data, str) else data, Path("/exports/general") / name, zone))


def line(**values: Any) -> str:
    return json.dumps(LINE | values)


@pytest.mark.parametrize(
    ("at", "utc"),
    [
        ("2023-05-08T13:56:00Z", (2023, 5, 8, 13, 56)),
        ("2023-05-08 13:56", (2023, 5, 8, 11, 56)),
        ("2023-05-08T13:56:00-04:00", (2023, 5, 8, 17, 56)),
        ("1:56 pm on 8 May, 2023", (2023, 5, 8, 11, 56)),
        ("12:09 am on 13 September, 2023", (2023, 9, 12, 22, 9)),
        ("2023-05-08", (2023, 5, 7, 22, 0)),
    ],
)
def test_a_moment_is_read_in_the_persons_zone_unless_it_names_one(at, utc):
    said = read(line(at=at))[1]
    assert isinstance(said, Said)
    assert said.at == datetime(*utc, tzinfo=UTC)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("{no json", "no JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        ("[1, 2]", "no JSON object"),
        ("12", "no JSON object"),
        ("null", "no JSON object"),
        (json.dumps({key: value for key, value in LINE.items() if key not in ("at", "text")}), "text, at is missing"),
        (line(at="2023-02-30"), "no moment"),
        (line(at="2023-02-30T10:00:00"), "no moment"),
        (line(at="9:00 am on 30 February, 2023"), "no moment"),
        (line(at="0001-01-01T00:00:00+14:00"), "no moment in any calendar"),
        (line(at="0001-01-01T00:00:00+00:00"), "no moment in any calendar"),
        (line(at="9999-12-31T23:59:59+00:00"), "no moment in any calendar"),
        (line(at=1683554160), "at is missing, empty or no text"),
        (line(text=["a"], speaker=None), "speaker, text is missing"),
        (line(text="  \n"), "text is missing, empty"),
        (line(external_id="x" * 601), "600 characters"),
        ("[" * 100_000, "JSON|deeply"),
    ],
)
def test_a_broken_line_is_told_by_its_number(broken, why):
    data = b"\n".join([line().encode(), broken if isinstance(broken, bytes) else broken.encode(), b"", line(external_id="2").encode()])
    found = read(data)
    assert [number for number, said in found.items() if isinstance(said, Said)] == [1, 4]
    assert isinstance(found[2], str)
    assert any(word in found[2] for word in why.split("|"))


@given(st.lists(st.one_of(st.binary(max_size=60), st.just(line().encode())), max_size=6))
def test_no_bytes_break_it(lines):
    for number, said in read(b"\n".join(lines)).items():
        assert number >= 1
        assert said


def test_a_days_file_of_slack():
    day = [
        {"type": "message", "user": "U1", "user_profile": {"real_name": "Dana"}, "text": "lunch?", "ts": "1683554160.000200"},
        {"type": "message", "subtype": "channel_join", "user": "U1", "text": "<@U1> has joined", "ts": "1683554161.0"},
        {"type": "message", "user": "U2", "text": "yes", "ts": "soon"},
        "nonsense",
    ]
    found = read(json.dumps(day), "2023-05-08.json")
    assert found[1] == Said(
        external_id="1683554160.000200",
        conversation="general",
        speaker="Dana",
        text="lunch?",
        at=datetime.fromtimestamp(1683554160.0002, UTC),
    )
    assert [number for number, said in found.items() if isinstance(said, str)] == [3, 4]


@pytest.mark.parametrize("is_whole_account", [False, True])
def test_a_result_of_telegram(is_whole_account):
    chat = {
        "name": "Dana",
        "messages": [
            {"id": 7, "type": "message", "date": "2023-05-08T13:56:00", "from": "Dana", "text": ["see ", {"type": "bold", "text": "this"}]},
            {"id": 8, "type": "service", "date": "2023-05-08T13:57:00", "actor": "Dana", "text": ""},
            {"id": 9, "type": "message", "date": "never", "from": "Dana", "text": "x"},
        ],
    }
    found = read(json.dumps({"chats": {"list": [chat, {"name": "odd"}]}} if is_whole_account else chat), "result.json")
    at = datetime(2023, 5, 8, 11, 56, tzinfo=UTC)
    assert found[1] == Said(external_id="7", conversation="Dana", speaker="Dana", text="see this", at=at)
    assert list(found) == [1, 3]
    assert isinstance(found[3], str)


def test_two_chats_of_telegram_with_one_name_are_two_conversations():
    message = {"id": 7, "type": "message", "date": "2023-05-08T13:56:00", "from": "Anna", "text": "hello"}
    found = read(
        json.dumps(
            {"chats": {"list": [{"name": "Anna", "id": 1, "messages": [message]}, {"name": "Anna", "id": 2, "messages": [message]}]}}
        )
    )
    assert [said.conversation for said in found.values() if isinstance(said, Said)] == ["Anna 1", "Anna 2"]


@pytest.mark.parametrize(
    ("text", "moments"),
    [
        ("[08.05.23, 13:56:22] Dana: one\nand more\n[09.05.23, 07:00:00] Allan: two", [(8, 11, 56), (9, 5, 0)]),
        ("5/8/23, 1:56 PM - Dana: one\nand more\n5/13/23, 12:05 AM - Allan: two", [(8, 11, 56), (12, 22, 5)]),
        ("2023-05-08, 13:56 - Dana: one\nand more\n2023-05-09, 07:00 - Allan: two", [(8, 11, 56), (9, 5, 0)]),
        ("08/05/2023, 13:56 - Dana: one\nand more\n13/05/2023, 00:05 - Allan: two", [(8, 11, 56), (12, 22, 5)]),
    ],
)
def test_a_text_of_whatsapp(text, moments):
    said = [*read(text, "WhatsApp Chat with Dana.txt").values()]
    assert all(isinstance(each, Said) for each in said)
    assert [(each.speaker, each.text) for each in said] == [("Dana", "one\nand more"), ("Allan", "two")]
    assert [(each.at.day, each.at.hour, each.at.minute) for each in said] == moments
    assert {each.conversation for each in said} == {"WhatsApp Chat with Dana"}
    assert {each.conversation for each in read(text, "_chat.txt").values() if isinstance(each, Said)} == {"general"}
    again = [*read(text, "WhatsApp Chat with Dana.txt").values()]
    assert [each.external_id for each in again] == [each.external_id for each in said]


def test_a_day_that_does_not_exist_spoils_no_other_of_whatsapp():
    found = read("30.02.23, 10:00 - Dana: never\n2023-02-28, 25:00 - Dana: never\n28.02.23, 10:00 - Dana: once", "Dana.txt")
    assert [number for number, said in found.items() if isinstance(said, Said)] == [3]


def test_what_whatsapp_itself_says_is_nobodys():
    own = "5/8/23, 1:50 PM - Messages and calls are end-to-end encrypted.\n"
    found = read(
        f"{own}5/8/23, 1:56 PM - Dana: one\n5/8/23, 1:57 PM - Dana changed the group's icon\n5/8/23, 1:58 PM - Dana: two", "Dana.txt"
    )
    assert {number: said.text for number, said in found.items() if isinstance(said, Said)} == {2: "one", 4: "two"}
    assert len(found) == 2
