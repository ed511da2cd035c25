"""The one guard in front of everything: pages, API, mounts and websockets. Pure decisions, and an ASGI shell.

A page of another site can make the browser send requests to loopback, and DNS can be bent so that it reads
the answers. So a request has to name this server (`Host`), must not come from elsewhere (`Origin`,
`Sec-Fetch-Site`) and has to know the token: from the start address once, then from a cookie, or as
`Authorization: Bearer`. Cookies ignore ports, so the port is part of the cookie's name. What changes
something is only taken from our own pages, or with the token in the header, which no browser sends by itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

READING = frozenset({"GET", "HEAD"})
CHANGING = frozenset({"POST", "PATCH", "PUT", "DELETE"})
MOST_HEADER_BYTES = 16 * 1024
MOST_BODY_BYTES = 1024 * 1024
TOKEN_PARAMETER = "token"


@dataclass(frozen=True, slots=True)
class Ask:
    """What the guard looks at."""

    method: str
    """`WEBSOCKET` for a websocket's opening."""
    path: str
    query: str
    headers: Mapping[str, Sequence[str]]
    """By lower-case name."""

    def one(self, name: str) -> str | None:
        """The header's value; None when it is missing. One that stands twice is as good as a wrong one."""
        found = self.headers.get(name, ())
        return None if not found else found[0] if len(found) == 1 else "\0"


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not serve it."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """The start address was right: hand out the cookie, and go on without the token."""

    location: str
    cookie: str
    is_from_elsewhere: bool
    """Another site's link led here: a redirect would lack the strict cookie, so a page has to lead on."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What this server answers to."""

    port: int
    token: str

    @property
    def cookie(self) -> str:
        return f"exptrack_{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        names = ("127.0.0.1", "localhost", "[::1]")
        bare = names if self.port == 80 else ()
        return frozenset((*(f"{name}:{self.port}" for name in names), *bare))


def judge(ask: Ask, keys: Keys) -> Refused | Welcome | None:
    """What to do with a request; None: serve it."""
    if ask.method not in READING | CHANGING | {"WEBSOCKET"}:
        return Refused(405, f"{ask.method[:20]} is not a method that this server knows")
    host = ask.one("host")
    if host is None or host.lower() not in keys.hosts:
        return Refused(403, "this server answers to its own address only, such as 127.0.0.1")
    start = _start(ask, keys)
    if start is not None:
        return start
    if not _comes_from_here(ask, host):
        return Refused(403, "requests from other sites are refused")
    if _is_right(_bearer(ask), keys.token):
        return None
    if not _is_right(_cookie(ask, keys.cookie), keys.token):
        return Refused(403, "open the address that `exptrack ui` printed: it holds the key")
    if ask.method not in READING and not _is_surely_ours(ask):
        return Refused(403, "changes are taken from this server's own pages only")
    return None


def _start(ask: Ask, keys: Keys) -> Welcome | None:
    """The way in by the start address; a wrong token there is as good as none."""
    if ask.method != "GET" or TOKEN_PARAMETER not in ask.query:
        return None
    pairs = parse_qsl(ask.query, keep_blank_values=True)
    given = [value for name, value in pairs if name == TOKEN_PARAMETER]
    if len(given) != 1 or not _is_right(given[0], keys.token) or ask.one("origin") is not None:
        return None
    rest = urlencode([pair for pair in pairs if pair[0] != TOKEN_PARAMETER])
    path = "/" + quote(ask.path.lstrip("/\\"), safe="/-._~")
    cookie = f"{keys.cookie}={keys.token}; HttpOnly; SameSite=Strict; Path=/"
    elsewhere = ask.one("sec-fetch-site") not in (None, "none", "same-origin")
    return Welcome(f"{path}?{rest}" if rest else path, cookie, elsewhere)


def _comes_from_here(ask: Ask, host: str) -> bool:
    origin, site = ask.one("origin"), ask.one("sec-fetch-site")
    return (origin is None or origin.lower() == f"http://{host.lower()}") and (
        site in (None, "same-origin", "none")
    )


def _is_surely_ours(ask: Ask) -> bool:
    """Whether the browser itself says that one of our pages asks (its origin was compared before)."""
    return ask.one("origin") is not None or ask.one("sec-fetch-site") == "same-origin"


def _bearer(ask: Ask) -> str:
    scheme, _, value = (ask.one("authorization") or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _cookie(ask: Ask, name: str) -> str:
    for line in ask.headers.get("cookie", ()):
        try:
            found = SimpleCookie(line).get(name)
        except CookieError:
            continue
        if found is not None:
            return found.value
    return ""


def _is_right(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
