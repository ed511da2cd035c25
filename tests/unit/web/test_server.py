"""What the server's log says, and what it does not."""

from __future__ import annotations

import asyncio
import logging
import sys

from exptrack_daemon.web.server import is_worth_saying


def record(error=None, message="Exception in ASGI application", *values):
    try:
        if error is not None:
            raise error
    except BaseException:
        return logging.LogRecord("uvicorn.error", 40, "x.py", 1, message, values, sys.exc_info())
    return logging.LogRecord("uvicorn.error", 40, "x.py", 1, message, values, None)


def test_a_request_that_was_cut_off_when_the_server_was_told_to_stop_is_not_worth_a_line():
    assert not is_worth_saying(record(asyncio.CancelledError()))
    wrapped = RuntimeError("generator didn't stop after athrow()")
    wrapped.__context__ = asyncio.CancelledError()
    assert not is_worth_saying(record(wrapped))
    assert not is_worth_saying(record(None, "Cancel %s running task(s), timeout", 3))


def test_faults_and_words_are():
    assert is_worth_saying(record(KeyError("a bug")))
    assert is_worth_saying(record(None, "a line"))
