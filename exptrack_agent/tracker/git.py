"""The state of the source: commit, branch, remote and uncommitted changes, as git tells them in bounded time.

Nothing here writes to the repository, asks for a password, or runs a program that the repository names.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from exptrack_agent.redact import Redactor, without_credentials

MOST_DIFF_BYTES = 256 * 1024
_MOST_LISTED = 100
_PLAIN = (
    *("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.pager=cat"),
    *("-c", "core.hooksPath=/dev/null", "-c", "submodule.recurse=false", "-c", "diff.external="),
)
_DIFF = (
    *("diff", "HEAD", "--binary", "-U3", "--no-ext-diff", "--no-textconv", "--no-color"),
    *("--no-relative", "--src-prefix=a/", "--dst-prefix=b/", "--submodule=short"),
)
"""Whatever the user's settings: a diff that `git apply` takes."""


class GitSilent(Exception):
    """Git gave no answer: it is not there, there is no repository, or time was up."""


def source_state(folder: Path, timeout_s: float) -> dict[str, Any]:
    """What git says of the folder's repository; `{}` where there is none.

    What could not be found out in time stands under `problems`.
    """
    ask = _Git(folder, time.monotonic() + timeout_s)
    try:
        root, prefix = ask.lines("rev-parse", "--show-toplevel", "--show-prefix", least=1)[:2]
    except GitSilent:
        return {}
    state: dict[str, Any] = {"root": root, "folder": prefix.rstrip("/") or "."}
    problems: list[str] = []
    for take in (_take_commit, _take_remote, _take_changes):
        try:
            state |= take(ask)
        except GitSilent as error:
            problems.append(str(error))
    return {**state, "problems": problems} if problems else state


def _take_commit(ask: _Git) -> dict[str, Any]:
    commit = ask.lines("rev-parse", "HEAD", least=1)[0]
    branch = ask.lines("rev-parse", "--abbrev-ref", "HEAD", least=1)[0]
    return {"commit": commit, "branch": None if branch == "HEAD" else branch}


def _take_remote(ask: _Git) -> dict[str, Any]:
    try:
        address = ask.lines("remote", "get-url", "origin", least=1)[0]
    except GitSilent:
        return {}
    return {"remote": without_credentials(address)}


def _take_changes(ask: _Git) -> dict[str, Any]:
    status = ask.output("status", "--porcelain=v1", "-z", "--no-renames").decode("utf-8", "replace")
    entries = [entry for entry in status.split("\0") if len(entry) > 3]
    changed = [entry[3:] for entry in entries if not entry.startswith("??")]
    untracked = [entry[3:] for entry in entries if entry.startswith("??")]
    state: dict[str, Any] = {
        "changed": changed[:_MOST_LISTED],
        "untracked": untracked[:_MOST_LISTED],
        "is_dirty": bool(changed),
    }
    if changed:
        diff = ask.output(*_DIFF, most=MOST_DIFF_BYTES + 1)
        text = diff[:MOST_DIFF_BYTES].decode("utf-8", "replace")
        state["diff"] = Redactor().text(text)
        is_as_given = len(diff) <= MOST_DIFF_BYTES and state["diff"] == text
        state["diff_is_whole"] = is_as_given and _is_text(diff)
    return state


def _is_text(diff: bytes) -> bool:
    try:
        diff.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class _Git:
    """Asks git about one folder until a deadline."""

    def __init__(self, folder: Path, deadline: float) -> None:
        self._folder = folder
        self._deadline = deadline

    def lines(self, *arguments: str, least: int) -> list[str]:
        lines = self.output(*arguments).decode("utf-8", "replace").splitlines()
        if len(lines) < least:
            raise GitSilent(f"git {arguments[0]} said nothing")
        return [*lines, "", ""]

    def output(self, *arguments: str, most: int = 4 * MOST_DIFF_BYTES) -> bytes:
        """What git prints, at most so many bytes.

        Raises:
            GitSilent: it fails, or the time is up.
        """
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise GitSilent(f"git {arguments[0]} was not asked: time was up")
        try:
            return _run(["git", *_PLAIN, *arguments], self._folder, left_s, most)
        except subprocess.TimeoutExpired:
            raise GitSilent(f"git {arguments[0]} did not answer in time") from None
        except OSError as error:
            raise GitSilent(f"git cannot be run: {error}") from error


def _run(command: Sequence[str], folder: Path, timeout_s: float, most: int) -> bytes:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        start_new_session=True,
    )
    try:
        return _read(process, command, time.monotonic() + timeout_s, most)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _read(
    process: subprocess.Popen[bytes], command: Sequence[str], deadline: float, most: int
) -> bytes:
    """Read to the end or to `most`; a pipe is waited for, so that a hanging git costs only the time."""
    import select

    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    poll = select.poll()  # `select.select` knows no descriptor beyond 1,023
    poll.register(descriptor, select.POLLIN)
    data = bytearray()
    while len(data) < most:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not poll.poll(ceil(left_s * 1000)):
            raise subprocess.TimeoutExpired(command, left_s)
        piece = os.read(descriptor, 65_536)
        if not piece:
            break
        data += piece
    else:
        return bytes(data)
    if process.wait(max(0.1, deadline - time.monotonic())):
        raise GitSilent(f"git {command[len(_PLAIN) + 1]} failed")
    return bytes(data)
