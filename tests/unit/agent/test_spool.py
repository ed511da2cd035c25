"""Copies on disk: each span with its checksum, none that is acknowledged, and what a full disk leaves."""

from __future__ import annotations

import errno
import os

import pytest

from exptrack_proto.ring import DATA_OFFSET, SEAL_BYTES
from exptrack_proto.ring_reader import read_segment
from tests.unit.agent.boxes import event, make_log, stored


def copy_of(tmp_path, number: int = 0):
    return read_segment((tmp_path / "spool" / f"{number:08d}.seg").read_bytes())


def test_each_span_has_a_seal_of_its_own(tmp_path):
    log = make_log(tmp_path)
    log.log({"a": 1})
    log.log({"a": 2})
    log.put_item(event("b"))
    log.log({"a": 3})
    log.close_rows()
    log._box.spool()
    copy = copy_of(tmp_path)
    assert [part.first for part in copy.parts] == [0, 2, 3]
    assert all(part.is_sealed for part in copy.parts)
    assert log._box.spooled_bytes == 2 * DATA_OFFSET + sum(
        SEAL_BYTES + part.items.nbytes for part in copy.parts
    )


def test_rows_that_are_not_closed_yet_are_copied_the_next_time(tmp_path):
    log = make_log(tmp_path)
    log.log({"a": 1})
    log.close_rows()
    log.log({"a": 2})
    log._box.spool()
    assert [item.sequence for item in stored(tmp_path / "spool")] == [0]
    assert not log._box._is_spooled()
    log.close_rows()
    log._box.spool()
    assert [item.sequence for item in stored(tmp_path / "spool")] == [0, 1]
    assert log._box._is_spooled()


def test_what_is_acknowledged_is_not_copied(tmp_path):
    log = make_log(tmp_path)
    box = log._box
    for acknowledged, kept in ((2, 1), (1, 2)):
        for _ in range(acknowledged + kept):
            log.log({"a": 1})
            log.close_rows()
        for span in list(box.take())[:acknowledged]:
            box.acknowledge(span)
        box.spool()
    assert [part.first for part in copy_of(tmp_path).parts] == [2, 4, 5]
    assert not copy_of(tmp_path).is_damaged


@pytest.mark.parametrize("at", range(1, 8))
def test_a_disk_that_refuses_at_any_call_leaves_a_copy_that_goes_on(tmp_path, monkeypatch, at):
    log = make_log(tmp_path)
    for turn in range(3):
        log.log({"a": turn})
        log.close_rows()
        calls = 0

        def refusing(descriptor, data, offset, real=os.pwrite):
            nonlocal calls
            calls += 1
            if calls == at:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, data, offset)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", refusing)
            log._box.spool()
        spooled = [item.sequence for item in stored(tmp_path / "spool")]
        assert spooled == list(range(len(spooled)))
    log._box.spool()
    assert [item.item.values["a"] for item in stored(tmp_path / "spool")] == [0, 1, 2]
