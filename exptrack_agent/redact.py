"""Taking secrets out of what is recorded, before it reaches the black box. Pure; `init` loads it.

A value is hidden when its key says secret (`--api-key X`, `TOKEN=X`, `{"password": X}`, `user:X@` in an
address), and wherever it stands when it has the shape of a known credential (`ghp_…`, `AKIA…`, a JWT, a
private key). A secret without a telling key and without a known shape cannot be known for one.

Every item but rows goes through `Redactor.item`; texts in rows are metrics, and are left as logged. Most
items hold no clue of a secret and are handed on as they are, after one search.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgpack

HIDDEN = "***"
_MOST_DEPTH = 40

_SECRET = re.compile(
    r"(api|access|account|private|secret|auth|encryption|signing|ssh|license|deploy|master|service|client|consumer"
    r"|subscription|openai|anthropic|wandb|hf)[-_.]?key|key[-_.]?id$|^key$|token|secret|passw|passphrase"
    r"|pwd|credential|cookie|authorization|bearer|(^|[-_.])(auth|sas|dsn)($|[-_.])|(^|[-_.])pin$|connection[-_.]?string",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    r"tokeni[sz]|secretar|(^|[-_.])((num|max|min|n)([-_.][\w.-]*)?|per|pad|eos|bos|unk|mask|cls|sep|vocab|image|special)"
    r"[-_.]?tokens?"
    r"|tokens?[-_.](per|count|num|id|ids|length|len|size|dim|type|embedding)|tokens$"
    r"|[-_.](file|path|dir|name|type|dim|size|len|count|env|enabled|rate|loss|acc|accuracy)$",
    re.IGNORECASE,
)
_EVEN_A_NUMBER = re.compile(r"passw|passphrase|pwd|secret|(^|[-_.])pin$", re.IGNORECASE)
_OF_SECRETS = re.compile(r"keys$|secret|passw|passphrase|pwd|credential", re.IGNORECASE)
"""What stands in a mapping of that name is secret whatever its own key (`api_keys: {openai: …}`)."""
_SPECIAL_TOKEN = re.compile(r"[<\[][^<>\[\]]{1,20}[>\]]")
_ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{0,30}://)[^/?#\s\"'\\]*@")
_SIGNED = re.compile(
    r"(?P<key>[?&][\w.-]*(?:sig|signature|token|key|secret|password)[\w.-]*=)[^&\s\"'\\#]+",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(r"^(?P<key>-{0,2}[A-Za-z_+][\w.+-]*)=(?P<value>.*)$", re.DOTALL)
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{30,255}|\bgithub_pat_\w{22,255}|\bgl[a-z]{2,6}-[\w-]{20,255}"
    r"|\bhf_[A-Za-z0-9]{20,255}|\bsk-(?:[a-z0-9]{2,10}-)?[A-Za-z0-9_-]{20,255}|\b[rs]k_(?:live|test)_\w{16,255}"
    r"|\bxox[a-z]-[\w-]{10,255}|\bhooks\.slack\.com/services/[\w/]+|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}"
    r"|\bnpm_[A-Za-z0-9]{36}|\bpypi-[\w-]{40,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bwandb_v1_\w{20,}|\blocal-[0-9a-f]{40}\b"
    r"|\bxapp-[\w-]{20,}|\bdapi[0-9a-f]{32}\b|\bgsk_[A-Za-z0-9]{40,255}|\bxai-[A-Za-z0-9]{40,255}|\br8_[A-Za-z0-9]{37}\b"
    r"|\bnvapi-[\w-]{40,255}|\bpplx-[A-Za-z0-9]{40,255}|\bhvs\.[\w-]{24,255}|\bdckr_pat_[\w-]{20,255}"
    r"|\bdop_v1_[0-9a-f]{64}\b|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    re.DOTALL,
)
_SPOKEN = re.compile(
    r"(?P<key>\b(?:bearer|basic)\s+)(?=[^\s\"']*[0-9=])[A-Za-z0-9._~+/-]{8,}=*", re.IGNORECASE
)
_AUTHORIZED = re.compile(
    r"(?P<key>\bauthorization\\?[\"']?\s{0,3}[:=]\s{0,3}\\?[\"']?(?:(?:bearer|basic|token|digest|apikey)\s+)?)"
    r"[^\s\"'\\,*]{4,}",
    re.IGNORECASE,
)
_QUOTED = r"(?P<quote>\\?[\"'])(?P<quoted>(?:(?!(?P=quote))(?:\\.|[^\\\n])){1,2000})(?P=quote)"
_KEY_IN_TEXT = re.compile(
    r"(?P<key>-{0,2}\b[A-Za-z_][\w.-]{0,80}+)\\?[\"']?\s{0,3}"
    r"(?::\s{0,3}[A-Za-z_][\w.\[\]|]{0,40}(?:\s?\|\s?None)?\s{0,3}=(?!=)|[:=])"  # `key: type = value` too
    r"\s{0,3}(?:[bru]{1,2}(?=[\"']))?"
)
_VALUE_IN_TEXT = re.compile(rf"{_QUOTED}|(?P<opened>\\?[\"']?)(?P<value>[^\s\"',;&}})\]\\]+)")
_OPTION = re.compile(r"(?<!\S)(?P<key>--?[A-Za-z][\w-]{0,80}+)\s+")
_VALUE_OF_OPTION = re.compile(rf"{_QUOTED}|(?P<opened>)(?P<value>[^\s-]\S*)")
_PLAIN_VALUE = re.compile(
    r"[-+\d.eE_]+|true|false|none|null|bool|\*\*\*.*|<.*|\[.*|\{.*|os\.(?:environ|getenv)\b.*|[A-Za-z_][\w.]*[(\[].*",
    re.IGNORECASE,
)
_CLUES = re.compile(
    rb"key|token|secret|passw|passphrase|pwd|credential|cookie|auth|bearer|basic|sas|dsn|pin|connection|://|sig"
    rb"|xapp-|dapi|xai-|r8_|nvapi-|pplx-|hvs\.|dckr_|dop_v1_"
    rb"|A[KSBC][IC]A|gh[pousr]_|github_|gsk_|gl[a-z]+-|hf_|sk[-_]|rk_|xox|hooks\.|AIza|ya29|npm_|pypi-|SG\.|wandb_|local-|eyJ"
    rb"|PRIVATE",
    re.IGNORECASE,
)
_BULK = (b"\xa5chunk", b"\xa5image", b"\xa9histogram", b"\xa5graph")
"""Kinds that are numbers or pieces of files; nothing in them is searched but a caption."""
_CAPTION = b"\xa7caption"


class Redactor:
    """Takes secrets out of items. `names`: further keys whose values are hidden, in any case of letters."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in names)
        clues = [re.escape(name.encode()) for name in sorted(self._names)]
        self._own_clue = re.compile(b"|".join(clues), re.IGNORECASE) if clues else None

    def item(self, packed: bytes) -> bytes:
        """A packed item without the secrets in its texts; the same bytes when there are none."""
        if packed[6:].startswith(_BULK) and _CAPTION not in packed:
            return packed
        has_clue = _CLUES.search(packed) or (self._own_clue and self._own_clue.search(packed))
        if not has_clue:
            return packed
        fields = msgpack.unpackb(packed, strict_map_key=False)
        clean = {name: self._field(value) for name, value in fields.items()}
        return packed if clean == fields else msgpack.packb(clean)

    def _field(self, value: Any) -> Any:
        """A field of an item: a text that is JSON (a config, a summary) is looked through by its keys."""
        if isinstance(value, list):
            return [self._field(part) for part in value]
        if not isinstance(value, str):
            return value
        if value[:1] in ("{", "["):
            try:
                content = json.loads(value)
            except (ValueError, RecursionError):
                return self.text(value)
            clean = self.value(content)
            return value if clean == content else json.dumps(clean)
        return self.text(value)

    def value(self, value: Any, depth: int = 0) -> Any:
        """A plain value (mappings, lists, texts, numbers) without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if depth > _MOST_DEPTH:
            return value
        if isinstance(value, Mapping):
            return {
                self.text(key) if isinstance(key, str) else key: self._under(key, inner, depth)
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            parts = self._parts(value, depth)
            return tuple(parts) if type(value) is tuple else parts
        return value

    def _parts(self, values: Sequence[Any], depth: int) -> list[Any]:
        if all(isinstance(part, str) for part in values):
            return [self.text(part) for part in self.arguments(values)]
        return [self.value(part, depth + 1) for part in values]

    def _under(self, key: Any, value: Any, depth: int) -> Any:
        if depth > _MOST_DEPTH or not self.is_secret(str(key)):
            return self.value(value, depth + 1)
        if isinstance(value, Mapping):
            if not _OF_SECRETS.search(str(key)):
                return self.value(value, depth + 1)
            return {inner: self._under(key, part, depth + 1) for inner, part in value.items()}
        if isinstance(value, bool) or value is None or value == "":
            return value
        if isinstance(value, list | tuple):
            return [self._under(key, part, depth + 1) for part in value]
        if isinstance(value, str):
            return value if _SPECIAL_TOKEN.fullmatch(value) else HIDDEN
        if isinstance(value, float):
            return value
        hides = _EVEN_A_NUMBER.search(str(key)) or str(key).lower() in self._names
        return HIDDEN if hides else value

    def is_secret(self, key: str) -> bool:
        """Whether a key names a secret, by its own name or by the user's."""
        return key.lower() in self._names or is_secret(key)

    def text(self, text: str) -> str:
        """A text without the secrets that stand in it."""
        clean = _SHAPES.sub(HIDDEN, without_credentials(text))
        clean = _SPOKEN.sub(rf"\g<key>{HIDDEN}", _AUTHORIZED.sub(rf"\g<key>{HIDDEN}", clean))
        clean = self._pairs(clean, _KEY_IN_TEXT, _VALUE_IN_TEXT)
        return self._pairs(clean, _OPTION, _VALUE_OF_OPTION)

    def _pairs(self, text: str, keys: re.Pattern[str], values: re.Pattern[str]) -> str:
        """The text with the values of its telling keys hidden; linear, as no other value is looked at."""
        parts: list[str] = []
        done = at = 0
        while found := keys.search(text, at):
            at = found.end("key")
            name = re.split(r"[.-]{2,}", found["key"].lstrip("-"))[-1]
            value = values.match(text, found.end()) if self.is_secret(name) else None
            if value is None or not _hides(name, value["quoted"] or value["value"]):
                continue
            quote = value["quote"] or ""
            parts += [text[done : found.end()], quote or value["opened"], HIDDEN, quote]
            done = at = value.end()
        return "".join((*parts, text[done:]))

    def arguments(self, arguments: Sequence[str]) -> list[str]:
        """A command line without secrets."""
        return redacted_arguments(arguments, self.is_secret)


def _hides(name: str, value: str) -> bool:
    """Whether the value of a telling key, as it stands in a text, is one, not code that fetches it."""
    if len(value) < 4 or value == name:
        return False
    if name.lower() == "key" and not re.search(r"\d", value):
        return False  # `key=lambda one: …` and `key: value` are code
    return not _PLAIN_VALUE.fullmatch(value) or bool(_EVEN_A_NUMBER.search(name))


def is_secret(key: str) -> bool:
    """Whether a key names a secret. `max_tokens` and `tokenizer` do not."""
    return bool(_SECRET.search(key)) and not _NO_SECRET.search(key)


def without_credentials(text: str) -> str:
    """The text with user and password, and signatures, taken out of the addresses in it."""
    return _SIGNED.sub(rf"\g<key>{HIDDEN}", _ADDRESS.sub(r"\g<scheme>", text))


def redacted_arguments(
    arguments: Sequence[str], tells: Callable[[str], bool] = is_secret
) -> list[str]:
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
        hide_next = assigned is None and is_option and tells(argument.lstrip("-"))
        shown.append(_shown(argument, assigned, tells))
    return shown


def _shown(argument: str, assigned: re.Match[str] | None, tells: Callable[[str], bool]) -> str:
    if assigned is not None and tells(assigned["key"].lstrip("-+")):
        return f"{assigned['key']}={HIDDEN}"
    key, colon, _ = argument.partition(":")
    if colon and " " not in key and "/" not in key and tells(key):
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
