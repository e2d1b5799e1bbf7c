"""DNS messages of a task's resolver: what is read of them, and what the answers are."""

from __future__ import annotations

from ipaddress import ip_address

import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reptarium.pool.powers.dns import MOST_ADDRESSES, NAME_ERROR, Question, answer, parse


def asked(name: str, kind: str = "A") -> Question:
    question = parse(dns.message.make_query(name, kind, id=4711).to_wire())
    assert question is not None
    return question


def test_a_question_is_read() -> None:
    """Name and type of an ordinary query, in its one spelling."""
    question = asked("API.Example.com", "AAAA")
    assert (question.id, question.name, question.type) == (4711, "api.example.com", "AAAA")


@pytest.mark.parametrize("kind", ["MX", "TXT", "SRV", "HTTPS", "ANY"])
def test_other_types_are_not_addresses(kind: str) -> None:
    """What isn't about addresses has a name, but no type that is answered."""
    assert asked("example.com", kind).type is None


def test_the_answer_is_a_message_that_others_read() -> None:
    """An answer carries the question and the addresses of its type, as another implementation reads it."""
    question = asked("example.com", "AAAA")
    message = dns.message.from_wire(answer(question, 0, [ip_address("2001:db8::1"), ip_address("192.0.2.1")]))
    assert message.id == 4711
    assert [record.to_text() for rrset in message.answer for record in rrset] == ["2001:db8::1"]
    assert message.question[0].name.to_text() == "example.com."
    refused = dns.message.from_wire(answer(question, NAME_ERROR))
    assert refused.rcode() == dns.rcode.NXDOMAIN
    assert not refused.answer


def test_an_answer_is_bounded() -> None:
    """However many addresses a name has, an answer has so many."""
    many = [ip_address(0x0A000000 + number) for number in range(1000)]
    message = dns.message.from_wire(answer(asked("example.com"), 0, many))
    assert sum(len(rrset) for rrset in message.answer) == MOST_ADDRESSES


HEADER = bytes.fromhex("1267 0100 0001 0000 0000 0000")
TAIL = bytes.fromhex("0001 0001")


@pytest.mark.parametrize(
    "name",
    [
        *(b"\x04a.bc\x03com\x00", b"\x03a\x00b\x03com\x00", b"\x03\xffab\x03com\x00", b"\x03a b\x00", b"\x01*\x00"),
        *(b"\x05xn--\xfc\x00", b"\x00", b"\x02a\n\x00", b"\x03\xe2\x84\xaa\x00", b"\x01-\x00"),
    ],
)
def test_odd_bytes_are_no_name(name: bytes) -> None:
    """Dots inside of labels, zeros, blanks, bytes above ASCII: a question without a name, which no rule lists."""
    question = parse(HEADER + name + TAIL)
    assert question is not None
    assert question.name is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        HEADER[:11],
        HEADER,
        HEADER + b"\xc0\x0c" + TAIL,  # a pointer to itself
        HEADER + b"\xc0" + b"a" * 192 + b"\x00" + TAIL,  # a pointer, or a label of 192 bytes
        HEADER + b"\x3f" + b"a" * 20,
        HEADER + b"\x03abc",
        HEADER + b"\x03abc\x00\x00",
        HEADER + (b"\x3f" + b"a" * 63) * 5 + b"\x00" + TAIL,
        HEADER[:2] + b"\x81\x00" + HEADER[4:] + b"\x03abc\x00" + TAIL,  # a response
        HEADER[:5] + b"\x02" + HEADER[6:] + b"\x03abc\x00" + TAIL,  # two questions
    ],
)
def test_what_is_not_one_question_is_not_read(message: bytes) -> None:
    """Cut short, pointing, too long, a response, several questions: nothing is read."""
    assert parse(message) is None


@given(st.binary(max_size=600))
def test_any_bytes_are_read_without_an_error(message: bytes) -> None:
    """Hostile bytes never raise; what is read can be answered."""
    question = parse(message)
    if question is not None:
        assert answer(question, NAME_ERROR).startswith(message[:2])


@given(st.binary(max_size=300))
def test_a_name_that_is_read_is_plain(tail: bytes) -> None:
    """Whatever a question holds, a name that comes of it is one that rules could list."""
    question = parse(HEADER + tail)
    if question is not None and question.name is not None:
        assert set(question.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
