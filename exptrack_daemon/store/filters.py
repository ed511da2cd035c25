"""What a person asks of the run list, as text: `loss<0.1 and tag:baseline and not project:old`. Pure.

    filter    := either
    either    := both ("or" both)*
    both      := not ("and"? not)*                    side by side means "and"
    not       := "not" not | "(" either ")" | condition
    condition := NAME SIGN VALUE | FIELD ":" VALUE | VALUE
    SIGN      := = == != < <= > >= ~ (contains) !~

- A bare word is looked for in id, name, project, tags and notes.
- NAME is a field of the run (see `FIELDS`), else a metric's last value, else a key of the config.
  `summary.NAME` and `config.NAME` say which; nested keys of a config are joined by dots.
- Names and values may stand in quotes, with a backslash before a quote. `and`, `or`, `not` in either case.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, TypeAlias

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.store.matching import (
    OPERATORS,
    Test,
    length_test,
    list_test,
    moment_test,
    value_test,
)

Columns: TypeAlias = "Mapping[Reference, Sequence[Any]]"

_KINDS = {"created": "moment", "updated": "moment", "age": "length", "duration": "length"}
_OWN = (
    *("id", "name", "project", "group", "job_type", "status", "notes", "tags", "archived"),
    *("created", "updated", "age", "duration", "last_step", "rows", "points", "lost"),
    *("attempts", "ranks", "exit_code"),
)
_ALIASES = {
    "tag": "tags",
    "note": "notes",
    "run": "id",
    "job": "job_type",
    "step": "last_step",
    "steps": "last_step",
    "lost_items": "lost",
}
FIELDS: Mapping[str, str] = {name: name for name in _OWN} | _ALIASES
"""What may be asked about a run itself, and what it is called here."""
SEARCHED = ("id", "name", "project", "tags", "notes")
_ENDS = frozenset("()\"'")
_DEEPEST = 50


class FilterError(ExptrackError):
    """The filter can't be read; the message shows the place."""

    def __init__(self, text: str, at: int, reason: str) -> None:
        shown = text.replace("\n", " ").replace("\t", " ")
        super().__init__(f"the filter can't be read: {reason}\n  {shown}\n  {' ' * at}^")
        self.at = at
        """Which character of the filter, from 0."""
        self.reason = reason


class Reference(NamedTuple):
    """What of a run a condition looks at."""

    kind: str
    """`field`, `summary`, `config`, or `value`: a metric if any run has it, else a key of the config."""
    name: str


def reference(name: str) -> Reference:
    """What a name in a filter, a sort order or a column stands for."""
    if name in FIELDS:
        return Reference("field", FIELDS[name])
    for kind in ("config", "summary"):
        rest = name.removeprefix(f"{kind}.")
        if rest != name and rest:
            return Reference(kind, rest)
    return Reference("value", name)


@dataclass(frozen=True, slots=True)
class Condition:
    """One value of a run, and the test that it has to pass."""

    on: Reference
    test: Test

    def references(self) -> Iterator[Reference]:
        yield self.on

    def fits(self, columns: Columns) -> list[bool]:
        return list(map(self.test, columns[self.on]))


@dataclass(frozen=True, slots=True)
class Search:
    """A text that any of the usual fields contains."""

    text: str

    def references(self) -> Iterator[Reference]:
        return (Reference("field", name) for name in SEARCHED)

    def fits(self, columns: Columns) -> list[bool]:
        part = self.text.casefold()
        rows = zip(*(columns[on] for on in self.references()), strict=True)
        return [any(part in _joined(given).casefold() for given in row) for row in rows]


@dataclass(frozen=True, slots=True)
class Both:
    """All parts hold."""

    parts: Sequence[Node]

    def references(self) -> Iterator[Reference]:
        for part in self.parts:
            yield from part.references()

    def fits(self, columns: Columns) -> list[bool]:
        return list(map(all, zip(*(part.fits(columns) for part in self.parts), strict=True)))


@dataclass(frozen=True, slots=True)
class Either(Both):
    """One of the parts holds."""

    def fits(self, columns: Columns) -> list[bool]:
        return list(map(any, zip(*(part.fits(columns) for part in self.parts), strict=True)))


@dataclass(frozen=True, slots=True)
class Not:
    part: Node

    def references(self) -> Iterator[Reference]:
        return self.part.references()

    def fits(self, columns: Columns) -> list[bool]:
        return [not fit for fit in self.part.fits(columns)]


Node: TypeAlias = Condition | Search | Both | Not


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read. An empty one lets everything through."""

    text: str = ""
    root: Node = field(default_factory=lambda: Both(()))

    def references(self) -> list[Reference]:
        """What of a run it looks at, each once."""
        return list(dict.fromkeys(self.root.references()))

    def fits(self, columns: Columns) -> list[bool]:
        """Run by run, whether it fits; the columns are as long as each other, and one at least is needed.

        Missing values are None, tags a sequence of texts. An empty filter has no say: ask nobody.
        """
        return self.root.fits(columns)


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises:
        FilterError: it can't be read; with the place, and what would do.
    """
    return Filter(text, _Parser(text).parse()) if text.strip() else Filter(text)


class _Parser:
    """Reads the text from left to right; `_at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._either()
        if self._peek() == ")":
            self._fail("this ) closes nothing")
        return node

    def _either(self) -> Node:
        parts = [self._both()]
        while self._takes_word("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(parts)

    def _both(self) -> Node:
        parts = [self._not()]
        while self._takes_word("and") or (
            self._peek() not in ("", ")") and not self._is_word("or")
        ):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else Both(parts)

    def _not(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail("it is nested too deep")
        try:
            if self._takes_word("not"):
                return Not(self._not())
            if self._peek() == "(":
                return self._group()
            return self._condition()
        finally:
            self._depth -= 1

    def _group(self) -> Node:
        opened = self._at
        self._at += 1
        node = self._either()
        if self._peek() != ")":
            self._at = opened
            self._fail("this ( is not closed")
        self._at += 1
        return node

    def _condition(self) -> Node:
        for word in ("and", "or"):
            if self._is_word(word):
                self._fail(f"a condition is missing before {word!r}")
        begin = self._skip()
        if self._peek() in ("", ")"):
            self._fail("a condition is missing here, such as loss<0.1 or tag:baseline")
        name, is_quoted = self._name()
        after = self._at
        sign = self._sign()
        if sign:
            return self._comparison(begin, name, sign)
        self._at = after
        field_name, colon, value = name.partition(":")
        if colon and not is_quoted and field_name in FIELDS:
            if not value and self._text[self._at : self._at + 1] in ("'", '"'):
                value, _ = self._quoted()
            return self._field(begin, field_name, value)
        return Search(name)

    def _comparison(self, begin: int, name: str, sign: str) -> Node:
        if not name:
            self._at = begin
            self._fail(f"a name is missing before {sign}")
        at = self._skip()
        if self._peek() in ("", ")"):
            self._fail(f"a value is missing after {name}{sign}")
        value, is_quoted = self._value()
        on = reference(name)
        return Condition(on, self._test(on, sign, value, at, is_quoted=is_quoted))

    def _field(self, begin: int, name: str, value: str) -> Node:
        if not value:
            self._fail(f"a value is missing after {name}:")
        on = reference(name)
        sign = "<=" if on.name in ("age", "duration") else "="
        return Condition(on, self._test(on, sign, value, begin, is_quoted=False))

    def _test(self, on: Reference, sign: str, value: str, at: int, *, is_quoted: bool) -> Test:
        kind = _KINDS.get(on.name) if on.kind == "field" else None
        try:
            if on == Reference("field", "tags"):
                return list_test(sign, value)
            if kind == "moment":
                return moment_test(sign, value)
            if kind == "length":
                return length_test(sign, value)
        except ValueError as error:
            self._at = at
            self._fail(str(error))
        return value_test(sign, value, is_quoted=is_quoted)

    def _name(self) -> tuple[str, bool]:
        if self._peek() in ("'", '"'):
            return self._quoted()
        begin = self._at
        while self._at < len(self._text) and not self._ends_name():
            self._at += 1
        return self._text[begin : self._at], False

    def _ends_name(self) -> bool:
        here = self._text[self._at]
        return here.isspace() or here in _ENDS or self._text.startswith(OPERATORS, self._at)

    def _value(self) -> tuple[str, bool]:
        if self._peek() in ("'", '"'):
            return self._quoted()
        begin = self._at
        while self._at < len(self._text) and not (
            self._text[self._at].isspace() or self._text[self._at] in "()"
        ):
            self._at += 1
        value = self._text[begin : self._at]
        if value.startswith(OPERATORS):
            self._at = begin
            signs = " ".join(sorted(OPERATORS))
            self._fail(f"there is no such sign; known are {signs} (quote a value that begins so)")
        return value, False

    def _quoted(self) -> tuple[str, bool]:
        opened, quote = self._at, self._text[self._at]
        parts = []
        at = opened + 1
        while at < len(self._text) and self._text[at] != quote:
            if self._text[at] == "\\" and self._text[at + 1 : at + 2] in (quote, "\\"):
                at += 1
            parts.append(self._text[at])
            at += 1
        if at >= len(self._text):
            self._fail("this quote is not closed")
        self._at = at + 1
        return "".join(parts), True

    def _sign(self) -> str:
        at = self._skip()
        sign = next((sign for sign in OPERATORS if self._text.startswith(sign, at)), "")
        self._at += len(sign)
        return sign

    def _skip(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _peek(self) -> str:
        self._skip()
        return self._text[self._at : self._at + 1]

    def _is_word(self, word: str) -> bool:
        """Whether the keyword stands here, and not a name that begins with it or is compared."""
        at = self._skip()
        end = at + len(word)
        if self._text[at:end].lower() != word:
            return False
        rest = self._text[end:]
        return not rest or rest[0] in "()" or (rest[0].isspace() and not _is_compared(rest))

    def _takes_word(self, word: str) -> bool:
        if not self._is_word(word):
            return False
        self._at += len(word)
        return True

    def _fail(self, reason: str) -> NoReturn:
        raise FilterError(self._text, self._at, reason)


def _is_compared(rest: str) -> bool:
    """`or = 1` asks for a metric that is called so."""
    return rest.lstrip().startswith(OPERATORS)


def _joined(given: Any) -> str:
    if given is None:
        return ""
    return given if isinstance(given, str) else "\n".join(given)


def nearest(name: str, known: Sequence[str], most: int = 3) -> list[str]:
    """Names that may have been meant."""
    by_short = {item.rpartition("/")[2]: item for item in reversed(known)}
    near = difflib.get_close_matches(name[:200], [item[:200] for item in known], most, 0.6)
    short = difflib.get_close_matches(name[:200], [item[:200] for item in by_short], most, 0.8)
    return list(dict.fromkeys([*near, *(by_short[item] for item in short)]))[:most]
