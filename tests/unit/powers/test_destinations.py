"""REPTARIUM_CONNECT_ALLOW as rules: what an entry may say, and what may be connected to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reptarium.pool.config import ConfigError, load_settings
from reptarium.pool.powers.destinations import SPECIAL, Destinations, normal_name, parse_entry, plain_address


def rules(*entries: str, own: tuple[str, ...] = ()) -> Destinations:
    return Destinations(map(parse_entry, entries), own=[ip_address(text) for text in own])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("api.example.com:443", "api.example.com:443"),
        ("API.Example.COM.:443", "api.example.com:443"),
        ("*.internal:5432", "*.internal:5432"),
        ("*:443", "*:443"),
        ("10.1.0.0/16:6379", "10.1.0.0/16:6379"),
        ("10.1.2.3:443|80", "10.1.2.3:80|443"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("[2001:DB8::/32]:8000-8100", "[2001:db8::/32]:8000-8100"),
        ("db_1.local:*", "db_1.local:*"),
        ("localhost:1-65535", "localhost:*"),
    ],
)
def test_an_entry_is_shown_as_it_could_be_written(text: str, shown: str) -> None:
    """Whatever spelling an entry has, what is shown of it means the same when it is read."""
    entry = parse_entry(text)
    assert str(entry) == shown
    assert parse_entry(shown) == entry


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("api.example.com", "has no port"),
        (":443", "has no port"),
        ("api.example.com:", "is not a port"),
        ("api.example.com:0", "is not a port"),
        ("api.example.com:65536", "is not a port"),
        ("api.example.com:443-80", "is not a port"),
        ("api.example.com:https", "is not a port"),
        ("api.example.com:٤٤٣", "is not a port"),
        ("2001:db8::1:443", "in brackets"),
        ("[2001:db8::1:443", "in brackets"),
        ("[::ffff:10.0.0.1]:443", "write the IPv4 address itself, 10.0.0.1"),
        ("10.0.0.1/8:443", "has host bits set"),
        ("10.0.0.256:443", "10.0.0.256"),
        ("0x7f.1:443", None),
        ("api.*.com:443", "is neither a name"),
        ("*example.com:443", "is neither a name"),
        ("https://api.example.com:443", "in brackets"),
        ("bücher.example:443", "xn--bcher-kva.example"),
        ("-a.example:443", "is neither a name"),
        ("a..example:443", "is neither a name"),
        (f"{'a' * 64}.example:443", "is neither a name"),
    ],
)
def test_a_wrong_entry_is_refused_in_words(text: str, words: str | None) -> None:
    """What can't be an entry is refused by the setting's name, with what is wrong; odd numbers are just names."""
    if words is None:
        assert parse_entry(text).network == ""
        return
    with pytest.raises(ConfigError, match="REPTARIUM_CONNECT_ALLOW") as refused:
        load_settings({"REPTARIUM_CONNECT_ALLOW": text})
    assert words in str(refused.value)


def test_nothing_is_open_by_default() -> None:
    """Without the setting, or with "none", tasks connect nowhere."""
    assert load_settings({}).connect_allow == load_settings({"REPTARIUM_CONNECT_ALLOW": "none"}).connect_allow == ()
    assert not rules().judge(ip_address("93.184.216.34"), 443).allowed


def test_a_name_opens_its_ports_at_the_addresses_that_it_was_given() -> None:
    """An address is open by a name only while it was given for that name, and on the name's ports."""
    rule = rules("api.example.com:443", "*.example.org:80|443")
    where = ip_address("93.184.216.34")
    assert rule.judge(where, 443, ["api.example.com"]).allowed
    assert not rule.judge(where, 443).allowed
    assert rule.judge(where, 80, ["api.example.com"]).why == ("REPTARIUM_CONNECT_ALLOW doesn't list api.example.com:80")
    assert rule.judge(where, 80, ["a.b.example.org"]).allowed
    assert not rule.judge(where, 80, ["example.org"]).allowed
    assert not rule.judge(where, 443, ["xapi.example.com", "api.example.com.evil.net", "evilexample.org"]).allowed


def test_the_ports_of_one_name_are_not_those_of_another() -> None:
    """Two names at one address: each opens its own ports only, together they open both."""
    rule = rules("a.example:1", "b.example:2")
    where = ip_address("93.184.216.34")
    assert not rule.judge(where, 2, ["a.example"]).allowed
    assert rule.judge(where, 2, ["a.example", "b.example"]).allowed


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.1", "::1", "10.0.0.5", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("fe80::1", "fd00:ec2::254", "fec0::1", "198.18.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::7f00:1"),
        *("0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1"),
        *("198.51.100.7", "2606:4700::1"),
    ],
)
def test_a_name_never_opens_what_must_be_listed_itself(address: str) -> None:
    """DNS rebinding: a listed name that resolves to a special address, or to one of our own, opens nothing; neither do
    all networks at once, nor "*"."""
    rule = rules("evil.example:*", "*:*", "0.0.0.0/0:*", "[::/0]:*", own=("198.51.100.7", "2606:4700::1"))
    verdict = rule.judge(ip_address(address), 80, ["evil.example"])
    assert not verdict.allowed
    assert str(plain_address(ip_address(address))) in verdict.why


@pytest.mark.parametrize(
    ("entry", "address", "opened"),
    [
        ("10.1.0.0/16:80", "10.1.2.3", True),
        ("10.0.0.0/8:80", "10.1.2.3", True),
        ("8.0.0.0/5:80", "10.1.2.3", False),
        ("10.1.0.0/16:81", "10.1.2.3", False),
        ("10.1.0.0/16:80", "::ffff:10.1.2.3", True),
        ("169.254.169.254:80", "169.254.169.254", True),
        ("169.254.0.0/16:80", "169.254.169.254", True),
        ("[fd00::/8]:80", "fd00:ec2::254", True),
        ("127.0.0.1:80", "127.0.0.1", True),
        ("127.0.0.0/8:80", "127.0.0.1", False),
        ("[::1]:80", "::1", True),
        ("10.1.0.0/16:80", "10.1.0.9", False),
        ("10.1.0.9:80", "10.1.0.9", True),
        ("0.0.0.0:80", "0.0.0.0", False),
        ("224.0.0.1:80", "224.0.0.1", False),
    ],
)
def test_special_and_own_addresses_are_opened_by_listing_them(entry: str, address: str, opened: bool) -> None:
    """A special address by an entry within its range; one of our own (10.1.0.9, loopback) by itself alone."""
    assert rules(entry, own=("10.1.0.9",)).judge(ip_address(address), 80).allowed is opened


@given(st.ip_addresses(), st.integers(1, 65_535), st.sets(st.sampled_from(["a.example", "b.other"])))
def test_nothing_special_is_open_without_an_entry_of_its_own(
    address: IPv4Address | IPv6Address, port: int, names: set[str]
) -> None:
    """However it is asked for, no special address and no loopback is open where names and everything are listed."""
    rule = rules("*:*", "0.0.0.0/0:*", "[::/0]:*")
    special = [*SPECIAL, ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("0.0.0.0/8")]
    if any(address in network for network in special):
        assert not rule.judge(address, port, names).allowed


@example(IPv4Address("10.1.2.3"), 443)
@example(IPv4Address("93.1.1.1"), 443)  # the runner's own: neither network opens it
@given(st.ip_addresses(v=4), st.integers(1, 65_535))
def test_an_address_is_judged_the_same_inside_an_ipv6_one(address: IPv4Address, port: int) -> None:
    """Mapped, NAT64 and 6to4 addresses are what they lead to."""
    rule = rules("10.0.0.0/8:1-30000", "93.0.0.0/8:443", own=("93.1.1.1",))
    wanted = rule.judge(address, port).allowed
    for wrapped in (
        IPv6Address(int(address) | 0xFFFF << 32),
        IPv6Address(int(IPv6Address("64:ff9b::")) | int(address)),
        IPv6Address(0x2002 << 112 | int(address) << 80),
    ):
        assert rule.judge(wrapped, port).allowed is wanted


@given(st.text(max_size=80))
def test_every_text_is_an_entry_or_a_value_error(text: str) -> None:
    """Reading an entry never fails in another way, and what is read is shown as an entry that means the same."""
    try:
        entry = parse_entry(text)
    except ValueError:
        return
    assert parse_entry(str(entry)) == entry


@given(st.text(max_size=300))
def test_a_normal_name_stays_as_it_is(text: str) -> None:
    """Names have one spelling: a normal one is its own, plain ASCII without an empty label."""
    name = normal_name(text)
    if name is not None:
        assert normal_name(name) == name
        assert name.isascii()
        assert all(name.split("."))
