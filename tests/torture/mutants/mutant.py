"""A planted bug: a change of one place in one file, and the smallest tests that should notice it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Mutant:
    """`old` stands exactly once in `path` and becomes `new`.

    `check` is what should fail: arguments for pytest, or, beginning with `-m`, for Python.
    """

    name: str
    old: str
    new: str
    check: str
    path: str = ""

    def applied(self, text: str) -> str:
        """The file's text with the bug.

        Raises:
            ValueError: the place is not there any more, or not the only one.
        """
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"{self.name}: stands {found} times in {self.path}: {self.old!r}")
        return text.replace(self.old, self.new)


def many(path: str, *mutants: Mutant) -> tuple[Mutant, ...]:
    """Bugs in one file."""
    return tuple(replace(mutant, path=path) for mutant in mutants)
