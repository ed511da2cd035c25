"""The guard's decisions: who may come in, by which door."""

from __future__ import annotations

import itertools

import pytest

from exptrack_daemon.web.guard import Ask, Keys, Refused, Welcome, judge

KEYS = Keys(7000, "k" * 43)
HOST = "127.0.0.1:7000"
GOOD_COOKIE = {"cookie": f"exptrack_7000={KEYS.token}"}
GOOD_HEADER = {"authorization": f"Bearer {KEYS.token}"}
METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "WEBSOCKET")


def ask(method="GET", path="/", query="", host=HOST, **headers):
    given = {name.replace("_", "-"): [value] for name, value in headers.items()}
    if host is not None:
        given["host"] = [host]
    return Ask(method, path, query, given)


def status(*arguments, **options):
    verdict = judge(ask(*arguments, **options), KEYS)
    return verdict.status if isinstance(verdict, Refused) else 200


@pytest.mark.parametrize("method", METHODS)
def test_the_header_opens_every_door(method):
    assert status(method, **GOOD_HEADER) == 200
    assert status(method, authorization=f"bEARER   {KEYS.token} ") == 200


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": KEYS.token},
        {"authorization": f"Basic {KEYS.token}"},
        {"cookie": "exptrack_7000=wrong"},
        {"cookie": f"exptrack_7001={KEYS.token}"},
        {"cookie": f"exptrack_7000={KEYS.token}x"},
        {"cookie": "\x00=;=,;exptrack_7000"},
        {"authorization": "Bearer ä"},
    ],
)
def test_without_the_right_token_nothing_is_served(method, headers):
    assert status(method, **headers) == 403
    assert status(method, **headers, sec_fetch_site="same-origin", origin=f"http://{HOST}") == 403


BAD_PLACES = [
    {"host": None},
    {"host": "evil.example"},
    {"host": "evil.example:7000"},
    {"host": "127.0.0.1"},
    {"host": "127.0.0.1:7001"},
    {"host": "0.0.0.0:7000"},
    {"host": "127.0.0.1:7000.evil.example"},
    {"host": "localhost.evil.example:7000"},
    {"host": "127.0.0.1.nip.io:7000"},
    {"host": ""},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "https://127.0.0.1:7000"},
    {"origin": "http://127.0.0.1:7001"},
    {"origin": "http://localhost:7000"},
    {"origin": ""},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "whatever"},
]


@pytest.mark.parametrize(
    ("method", "place", "key"),
    list(itertools.product(METHODS, BAD_PLACES, (GOOD_COOKIE, GOOD_HEADER))),
)
def test_whoever_comes_from_elsewhere_is_refused_whatever_they_hold(method, place, key):
    assert status(method, **{**key, **place}) == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7000", "localhost:7000", "LOCALHOST:7000", "[::1]:7000"]
)
def test_all_of_loopbacks_names_are_ours_and_the_origin_has_to_be_the_same_one(host):
    assert status(host=host, **GOOD_COOKIE) == 200
    assert status("POST", host=host, origin=f"http://{host}", **GOOD_COOKIE) == 200


def test_on_port_80_the_host_has_no_port():
    keys = Keys(80, KEYS.token)
    assert judge(ask(host="localhost", **GOOD_HEADER), keys) is None


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE", "WEBSOCKET"])
def test_a_change_by_cookie_needs_the_browsers_word_that_it_is_ours(method):
    assert status(method, **GOOD_COOKIE) == 403
    assert status(method, sec_fetch_site="none", **GOOD_COOKIE) == 403
    assert status(method, sec_fetch_site="same-origin", **GOOD_COOKIE) == 200
    assert status(method, origin=f"http://{HOST}", **GOOD_COOKIE) == 200


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", ""])
def test_unknown_methods_are_refused_before_all_else(method):
    assert status(method, **GOOD_HEADER) == 405


def test_a_header_that_stands_twice_is_no_header():
    twice = Ask("GET", "/", "", {"host": [HOST, HOST], "cookie": list(GOOD_COOKIE.values())})
    assert judge(twice, KEYS).status == 403
    twice = Ask("GET", "/", "", {"host": [HOST], "authorization": ["Bearer a", "Bearer b"]})
    assert judge(twice, KEYS).status == 403


def test_the_start_address_hands_out_a_strict_cookie_and_goes_on_without_the_token():
    verdict = judge(ask(path="/", query=f"token={KEYS.token}&a=1&b=%2F"), KEYS)
    cookie = f"exptrack_7000={KEYS.token}; HttpOnly; SameSite=Strict; Path=/"
    assert verdict == Welcome("/?a=1&b=%2F", cookie, is_from_elsewhere=False)
    assert KEYS.token not in verdict.location


@pytest.mark.parametrize(
    "path", ["//evil.example/", "/\\evil.example", "///evil.example", "\\\\evil"]
)
def test_the_start_address_never_leads_to_another_site(path):
    location = judge(ask(path=path, query=f"token={KEYS.token}"), KEYS).location
    assert location.startswith("/")
    assert location[1:2] not in ("/", "\\")


def test_a_link_on_another_site_may_open_the_start_address():
    query = f"token={KEYS.token}"
    assert judge(ask(query=query, sec_fetch_site="cross-site"), KEYS).is_from_elsewhere
    assert not judge(ask(query=query, sec_fetch_site="none"), KEYS).is_from_elsewhere


@pytest.mark.parametrize(
    ("method", "query", "more"),
    [
        ("GET", "token=wrong", {}),
        ("GET", "token=", {}),
        ("GET", f"token={KEYS.token}&token={KEYS.token}", {}),
        ("POST", f"token={KEYS.token}", {}),
        ("WEBSOCKET", f"token={KEYS.token}", {}),
        ("GET", f"token={KEYS.token}", {"origin": "http://evil.example"}),
        ("GET", f"token={KEYS.token}", {"host": "evil.example:7000"}),
        ("GET", f"TOKEN={KEYS.token}", {}),
    ],
)
def test_no_other_way_in_by_the_address(method, query, more):
    assert status(method, query=query, **more) == 403


def test_one_of_several_cookies_and_cookie_lines_is_found():
    many = Ask(
        "GET", "/", "", {"host": [HOST], "cookie": ["a=b; c=d", f"x=y; {GOOD_COOKIE['cookie']}"]}
    )
    assert judge(many, KEYS) is None
