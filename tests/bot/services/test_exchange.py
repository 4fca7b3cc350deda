"""Files of other programs come in without doubling anything, a broken line spoils no other, and what goes out harms no spreadsheet."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import ToolFailed
from bot.services.contacts import Contacts
from bot.services.deals import Deals
from bot.services.exchange import Exchange, Imported
from bot.services.interchange import decoded, read_csv, read_vcards, write_csv, write_vcards
from bot.services.notes import Notes
from bot.services.tasks import Tasks
from tests.bot.services.test_tasks import errand_of
from tests.stage import Stage

pytestmark = pytest.mark.either


@pytest.fixture
def exchange(stage: Stage) -> Exchange:
    return Exchange(database=stage.database, clock=stage.clock)


PEOPLE = "Full Name;E-mail;Phone;Company\r\nDana Smith;dana@acme.com;+1 555 0100;Acme\r\nBob;bob@x;;\r\nCarol;;;\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
async def test_a_file_is_read_in_whatever_encoding_and_with_whatever_between_its_values(stage: Stage, exchange: Exchange, encoding: str):
    data = PEOPLE.replace("Carol", "Zoë").encode(encoding)
    result = await exchange.bring(errand_of(stage.allan), "contact", data)
    assert result == Imported(added=2, broken=((3, "“bob@x” is no address"),))
    rows = await Contacts(database=stage.database, clock=stage.clock).standing(errand_of(stage.allan).person)
    assert [(row.name, row.email, row.company) for row in rows] == [("Dana Smith", "dana@acme.com", "Acme"), ("Zoë", "", "")]


async def test_what_is_known_is_completed_and_not_doubled(stage: Stage, exchange: Exchange):
    contacts = Contacts(database=stage.database, clock=stage.clock)
    await contacts.take(errand_of(stage.allan), "Dana Smith, 1234567")
    data = b"first name,last name,email\nDana,Smith,dana@acme.com\nD.,S.,DANA@acme.com\nDana,Smith,dana@acme.com\n"
    assert await exchange.bring(errand_of(stage.allan), "contact", data) == Imported(merged=1, known=2)
    assert await exchange.bring(errand_of(stage.allan), "contact", data) == Imported(known=3)
    (row,) = await contacts.standing(errand_of(stage.allan).person)
    assert (row.name, row.email, row.phone) == ("Dana Smith", "dana@acme.com", "1234567")


async def test_broken_lines_are_told_by_their_number_and_the_good_ones_kept(stage: Stage, exchange: Exchange):
    lines = [
        "title,due",
        "rent,2026-12-01",
        'never "closed',
        '"open,2026-12-01',
        "milk,30 February",
        "a,b,c",
        ",2026-12-01",
        "later,9999-01-01",
        "ok,",
    ]
    result = await exchange.bring(errand_of(stage.allan), "task", "\n".join(lines).encode())
    assert [number for number, _ in result.broken] == [4, 5, 6, 7, 8]
    tasks = await Tasks(database=stage.database, clock=stage.clock).standing(errand_of(stage.allan).person)
    assert [(task.title, task.due_on) for task in tasks] == [("rent", date(2026, 12, 1)), ('never "closed', None), ("ok", None)]


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"hello\nworld\n", b"name,email\n,\n", b"name,email\nx,nonsense\n"]
)
async def test_a_file_with_nothing_in_it_is_refused(stage: Stage, exchange: Exchange, data: bytes):
    with pytest.raises(ToolFailed):
        await exchange.bring(errand_of(stage.allan), "contact", data)


@pytest.mark.parametrize("noun", ["task", "contact", "deal", "note"])
async def test_what_goes_out_comes_in_again_as_the_same(stage: Stage, exchange: Exchange, noun: str):
    books = {"database": stage.database, "clock": stage.clock}
    await Tasks(**books).take(errand_of(stage.allan), "call Dana, 'urgent', on Friday at 3")
    await Contacts(**books).take(errand_of(stage.allan), "Dana Smith, dana@acme.com, +1 555 0100, role==CTO")
    await Deals(**books).take(errand_of(stage.allan), "Acme negotiation 3,500.50 EUR")
    await Notes(**books).take(errand_of(stage.allan), "-1 is\nnot a formula")
    text = await exchange.give(errand_of(stage.allan).person, noun)
    assert await exchange.bring(errand_of(stage.allan), noun, text.encode()) == Imported(known=1)
    assert await exchange.bring(errand_of(stage.grace), noun, text.encode()) == Imported(added=1), "another person's are theirs"
    assert await exchange.give(errand_of(stage.grace).person, noun) == text


def test_no_value_becomes_a_formula():
    text = write_csv(["name"], [["=HYPERLINK(1)"], ["+1 555"], ["-2"], ["@SUM(1)"], ["\tx"], ["fine"]])
    assert [row[0][:1] for row in csv.reader(io.StringIO(text))][1:] == ["'", "'", "'", "'", "'", "f"]


async def test_vcards_of_both_versions_are_read(stage: Stage, exchange: Exchange):
    cards = (
        "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Smith;Dana;;;\r\nFN:Dana Smith\r\nitem1.EMAIL;TYPE=INTERNET:dana@acme.com\r\n"
        "ORG:Acme\\, Inc.;Sales\r\nNOTE:likes\r\n  tulips\\nand rain\r\nPHOTO;ENCODING=b:AAAA\r\nEND:VCARD\r\n"
        "BEGIN:VCARD\r\nVERSION:4.0\r\nN:Jones;Bob;;;\r\nTEL;VALUE=uri:tel:+1-555-0100\r\nEMAIL:bob@acme.com\r\nEND:VCARD\r\n"
        "BEGIN:VCARD\r\nVERSION:4.0\r\nTEL:1\r\nEND:VCARD\r\nBEGIN:VCARD\r\nFN:never ended\r\n"
    )
    result = await exchange.bring(errand_of(stage.allan), "contact", cards.encode())
    assert result == Imported(added=2, broken=((17, "there is no name"), (21, "it is a card that does not end")))
    dana, bob = await Contacts(database=stage.database, clock=stage.clock).standing(errand_of(stage.allan).person)
    assert (dana.name, dana.email, dana.company, dana.detail) == ("Dana Smith", "dana@acme.com", "Acme, Inc.", "likes tulips\nand rain")
    assert (bob.name, bob.phone, bob.email) == ("Bob Jones", "+1-555-0100", "bob@acme.com")
    text = await exchange.give(errand_of(stage.allan).person, "contact", as_cards=True)
    assert await exchange.bring(errand_of(stage.allan), "contact", text.encode()) == Imported(known=2)
    assert await exchange.bring(errand_of(stage.grace), "contact", text.encode()) == Imported(added=2)


@given(st.text(max_size=200), st.text(max_size=200))
def test_what_a_card_says_is_read_back_as_it_was(name: str, note: str):
    row = {"name": " ".join(name.split()) or "x", "detail": note.strip().replace("\r", "")}
    ((_, values),) = read_vcards(write_vcards([row]))
    assert isinstance(values, dict)
    assert values["name"].split() == row["name"].split()
    assert values.get("detail", "").split() == row["detail"].split()


async def test_a_moment_of_another_zone_is_the_same_moment_here(stage: Stage, exchange: Exchange):
    data = b"title,due\na,2026-12-01T10:00:00Z\nb,2026-12-01T23:30:00-05:00\nc,2026-12-01 10:00\nd,9999-12-31T23:30:00-05:00\n"
    assert [number for number, _ in (await exchange.bring(errand_of(stage.allan), "task", data)).broken] == [5]
    tasks = await Tasks(database=stage.database, clock=stage.clock).standing(errand_of(stage.allan).person)
    dues = {task.title: (str(task.due_on), f"{task.due_at:%d %H:%M}") for task in tasks}
    assert dues == {"a": ("2026-12-01", "01 10:00"), "b": ("2026-12-02", "02 04:30"), "c": ("2026-12-01", "01 09:00")}


def test_a_card_of_an_older_telephone_keeps_its_letters():
    card = "BEGIN:VCARD\nVERSION:2.1\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6rg\nEND:VCARD\n"
    assert list(read_vcards(card)) == [(1, {"name": "Jörg Müller"})]


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_fail_but_for_a_kind_line(data: bytes):
    try:
        list(read_csv(decoded(b"name,email\n" + data), "contact"))
        list(read_vcards(decoded(data)))
    except ToolFailed:
        pass


async def test_a_long_file_is_kept_in_batches_and_tells_how_far_it_is(stage: Stage, exchange: Exchange):
    heard: list[tuple[int, int]] = []
    data = "name,email\n" + "".join(f"P{number},p{number}@x.org\n" for number in range(450))
    result = await exchange.bring(errand_of(stage.allan), "contact", data.encode(), lambda done, total: heard.append((done, total)))
    assert (result.added, [done for done, _ in heard]) == (450, [201, 401, 451, 452])
