"""Taking secrets out of what is recorded: by the key they stand under, and out of addresses. Pure.

A value is taken for a secret when its key says so (`--api-key X`, `TOKEN=X`, `{"password": X}`), or when it
stands as `user:password@` in an address. What a program is told without such a key cannot be known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

HIDDEN = "***"

_SECRET = re.compile(
    r"(api|access|private|secret|auth|encryption|signing|ssh)[-_.]?key|key[-_.]?id$|^key$|token|secret|passw|passphrase"
    r"|pwd|credential|cookie|authorization|bearer|(^|[-_.])(auth|sas|dsn|pin)($|[-_.])|connection[-_.]?string",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    r"tokeni[sz]er|(num|max|min|n|per|pad|eos|bos|unk|mask|vocab)[-_.]?(\w*[-_.])?tokens?|tokens?[-_.](per|count|num|id|ids|length|len|size)|tokens$",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s]*@")
_SIGNED = re.compile(
    r"(?P<key>[?&][\w.-]*(?:sig|signature|token|key|secret|password)[\w.-]*=)[^&\s]+", re.IGNORECASE
)
_ASSIGNED = re.compile(r"^(?P<key>-{0,2}[A-Za-z_+][\w.+-]*)=(?P<value>.*)$", re.DOTALL)


def is_secret(key: str) -> bool:
    """Whether a key names a secret. `max_tokens` and `tokenizer` do not."""
    return bool(_SECRET.search(key)) and not _NO_SECRET.search(key)


def without_credentials(text: str) -> str:
    """The text with user and password, and signatures, taken out of the addresses in it."""
    return _SIGNED.sub(rf"\g<key>{HIDDEN}", _ADDRESS.sub(r"\g<scheme>", text))


def redacted_arguments(arguments: Sequence[str]) -> list[str]:
    """A command line without the values of secret keys, as `--token X`, `token=X` or `Token: X`."""
    shown: list[str] = []
    hide_next = False
    for argument in arguments:
        is_option = argument.startswith("-")
        if hide_next and not (is_option and len(argument) > 1 and not argument[1:2].isdigit()):
            shown.append(HIDDEN)
            hide_next = False
            continue
        assigned = _ASSIGNED.match(argument)
        hide_next = assigned is None and is_option and is_secret(argument.lstrip("-"))
        shown.append(_shown(argument, assigned))
    return shown


def _shown(argument: str, assigned: re.Match[str] | None) -> str:
    if assigned is not None and is_secret(assigned["key"].lstrip("-+")):
        return f"{assigned['key']}={HIDDEN}"
    key, colon, _ = argument.partition(":")
    if colon and " " not in key and "/" not in key and is_secret(key):
        return f"{key}: {HIDDEN}"
    return without_credentials(argument)


def chosen_variables(environ: Mapping[str, str], allowed: Sequence[str]) -> dict[str, str]:
    """The allowed variables (`X_*`: all that begin so) that are set, but none whose name says secret."""
    whole = {name for name in allowed if not name.endswith("*")}
    begins = tuple(name[:-1] for name in allowed if name.endswith("*"))
    return {
        name: without_credentials(value)[:4_096]
        for name, value in sorted(environ.items())
        if (name in whole or name.startswith(begins)) and not is_secret(name)
    }
