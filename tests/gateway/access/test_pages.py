"""Which names a gateway has, and which pages may ask it."""

import pytest

from gateway.access.pages import Pages
from gateway.problems import GatewayCode, RequestRefused


def refused(pages, *hosts, origin=None, site=None):
    try:
        pages.check(
            [host.encode() for host in hosts], None if origin is None else origin.encode(), site and site.encode()
        )
    except RequestRefused as error:
        return error.code
    return None


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.0.0.1", "localhost:8080", "LOCALHOST", "localhost"])
def test_a_gateway_is_known_by_its_address_and_as_localhost(host):
    pages = Pages("127.0.0.1")
    assert [refused(pages, host), refused(pages, host)] == [None, None]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.2:8080", "localhost.evil.example", "", "[::1]:8080", "a:b:c"]
)
def test_other_names_are_refused(host):
    assert refused(Pages("127.0.0.1"), host) is GatewayCode.WRONG_HOST


def test_a_gateway_that_listens_on_a_name_is_known_by_it():
    assert refused(Pages("Stock.example.com"), "stock.example.COM:8080") is None


def test_no_host_and_two_hosts_are_refused():
    assert refused(Pages("127.0.0.1")) is GatewayCode.WRONG_HOST
    assert refused(Pages("127.0.0.1"), "localhost", "localhost") is GatewayCode.WRONG_HOST


def test_an_ipv6_address_is_known_with_its_brackets():
    assert refused(Pages("::1"), "[::1]:8080") is None
    assert refused(Pages("::1"), "[::2]:8080") is GatewayCode.WRONG_HOST


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_who_listens_on_all_addresses_is_known_by_each_but_by_no_name(host):
    pages = Pages(host)
    assert refused(pages, "192.0.2.7:8080") is None
    assert refused(pages, "[2001:db8::7]:8080") is None
    assert refused(pages, "evil.example") is GatewayCode.WRONG_HOST


def test_further_names_count_with_every_port_unless_they_have_one():
    pages = Pages("127.0.0.1", {"stock.example.com", "gateway:8080"})
    assert refused(pages, "Stock.Example.com:444") is None
    assert refused(pages, "gateway:8080") is None
    assert refused(pages, "gateway:8081") is GatewayCode.WRONG_HOST


def test_a_page_of_the_gateway_itself_may_ask():
    pages = Pages("127.0.0.1", {"stock.example.com"})
    assert refused(pages, "localhost:8080", origin="http://localhost:8080", site="same-origin") is None
    assert refused(pages, "localhost:8080", origin="HTTP://LOCALHOST:8080") is None
    assert refused(pages, "localhost:8080", site="none") is None
    # Behind a proxy that does not pass the name on.
    assert refused(pages, "127.0.0.1:8080", origin="https://stock.example.com") is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://localhost:3000",
        "http://localhost",
        "null",
        "",
        "localhost:8080",
        "https://stock.example.com:3000",
        "http://[",
        "http://localhost:8080@evil.example",
    ],
)
def test_a_page_of_another_origin_may_not(origin):
    pages = Pages("127.0.0.1", {"stock.example.com"})
    assert refused(pages, "localhost:8080", origin=origin) is GatewayCode.FORBIDDEN


def test_another_sites_page_may_not_even_follow_a_link():
    assert refused(Pages("127.0.0.1"), "localhost:8080", site="cross-site") is GatewayCode.FORBIDDEN


def test_names_that_are_remembered_are_bounded():
    pages = Pages("0.0.0.0")
    for number in range(3_000):
        refused(pages, f"192.0.2.1:{number}")
    assert len(pages._served) == 1_000
