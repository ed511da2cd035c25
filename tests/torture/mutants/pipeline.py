"""Bugs in delivery, intake, recovery, the agent and the wire format."""

from __future__ import annotations

from tests.torture.mutants.mutant import Mutant, many

LANE = "tests/unit/daemon/test_delivery_lane.py"
MODEL = "tests/property/test_delivery_model.py"
DESK = "tests/unit/daemon/test_intake_desk.py"
RECOVERY = "tests/unit/daemon/test_intake_recovery.py"
BOX = "tests/unit/agent/test_blackbox.py"
COURIER = "tests/unit/agent/test_courier.py"
ROWS = "tests/unit/agent/test_rows.py"
PUBLISHING = "tests/torture/test_publishing.py"

DELIVERY = many(
    "exptrack_daemon/delivery/lane.py",
    Mutant("the cursor is ahead of the write", "settled is not None and checkpoint.end <= settled.end\n", "settled is not None or True\n", LANE),
    Mutant("the first frame after the cursor is left out", "found.start.record < self.cursor.delivered", "found.start.record <= self.cursor.delivered", LANE),
    Mutant("the cursor passes the half that was not written", "if settled is not None and self._to_write and settled.end >= self._to_write[0].end:", "if settled is None and self._to_write and self._is_newer:", LANE),
    Mutant("halves of a refused batch change places", "self._to_write.extendleft(reversed(parts or ()))", "self._to_write.extendleft(parts or ())", LANE),
    Mutant("what the sink wants back is forgotten", "cursor.ended, cursor.state = checkpoint.ended, state", "cursor.ended = checkpoint.ended", LANE),
    Mutant("a pause goes on after what was not taken", "        self._position = self.cursor.position\n\n\nclass _Version", "\n\nclass _Version", LANE),
)  # fmt: skip

INTAKE = many(
    "exptrack_daemon/intake/desk.py",
    Mutant("acknowledged before the commit", "return self.journal(run_id).durable.get(stream, 0)", "return self.journal(run_id).streams.get(stream, StreamEnd()).next", DESK),
    Mutant("a gap is taken", "if frame.first > end.next and not _fills_the_gap(body, frame.first, end.next):", "if frame.first > end.next and body is None:", DESK),
    Mutant("the ledger names one too many", "end.next, first - 1, reason", "end.next, first, reason", DESK),
    Mutant("the ledger says nothing", "            if end is not None and end.next < first:\n", "            if end is None:\n", DESK),
    Mutant("rows of a resent frame come twice", "if number >= sequence]", "if number >= frame.first]", DESK),
    Mutant("neighbours of a refused row are lost", "        self._append_rows(journal, run_id, stream, frame.end, good)\n", "", DESK),
    Mutant("a disk's error is taken for a commit", "                self._trouble(run_id, error)\n                continue\n", "                self._trouble(run_id, error)\n", DESK),
)  # fmt: skip

RECOVERING = many(
    "exptrack_daemon/intake/recovery.py",
    Mutant("a living trainer's box is taken", "    except OSError:\n        return True\n    finally:", "    except OSError:\n        return False\n    finally:", RECOVERY),
    Mutant("the copy without seals counts", "key=_is_sealed)", "key=_is_sealed, reverse=True)", RECOVERY),
    Mutant("removed before the commit", "            _succeed(desk.close_crashed(run_id, remains.stream))\n        _succeed(commit())\n        gone = [_dispose(desk.home, folder, keep=keep) for folder in remains.folders]\n", "            _succeed(desk.close_crashed(run_id, remains.stream))\n        gone = [_dispose(desk.home, folder, keep=keep) for folder in remains.folders]\n        _succeed(commit())\n", RECOVERY),
    Mutant("a damaged box is removed", "            keep = keep or not is_whole\n", "", RECOVERY),
    Mutant("a failing disk is no reason to stop", "    if not went_well:\n        raise _NotNow\n", "    return\n", RECOVERY),
    Mutant("known items come again", "items[max(0, known - first) :]", "items", RECOVERY),
    Mutant("damage at the end is not counted", "            _succeed(desk.resync(run_id, stream, hole.end or 0, _DAMAGED))\n", "            pass\n", RECOVERY),
)  # fmt: skip

BLACK_BOX = many(
    "exptrack_agent/blackbox.py",
    Mutant("segments are freed before they are acknowledged", "while line and line[0].open_spans == 0:", "while line and line[0].open_spans >= 0:", BOX),
    Mutant("memory is freed before its copy is whole", "if segment.memory is None or not segment.is_copied:", "if segment.memory is None:", BOX),
    Mutant("a box with items in it is removed", "        if not keep or self._is_spooled():\n", "        if keep or not keep:\n", BOX),
)  # fmt: skip

SEGMENT = "tests/unit/agent/test_segment.py"
SEGMENTS = many(
    "exptrack_agent/segment.py",
    Mutant("a sparse ring", "os.posix_fallocate(descriptor, 0, size)", "os.ftruncate(descriptor, size)", SEGMENT),
    Mutant("a used segment keeps its old head", "        self.cells[CELL_HEAD] = 0\n        table", "        table", BOX),
    Mutant("a used segment keeps its old seals", "        self.memory[table:] = bytes(len(self.memory) - table)\n", "", SEGMENT),
    Mutant("a damaged copy is sent", "if self.segment.memory is None and crc32(data) != self.crc:", "if self.segment.memory is None and crc32(data) == -1:", SEGMENT),
    Mutant("a copy counts as whole while spans are missing", "is_noted and (not self.spans or self.copied >= self.spans[-1].stop)", "is_noted", BOX),
)  # fmt: skip

SPOOL = many(
    "exptrack_agent/spool.py",
    Mutant("the spool has no bound", "if self.bytes + cost > self._limits.spool_bytes:", "if self._limits.spool_bytes < 0:", BOX),
    Mutant("a copy is named before its header is whole", "            _write_at(descriptor, header, 0)\n            hidden(path).rename(path)\n", "            hidden(path).rename(path)\n            _write_at(descriptor, header, 0)\n", "tests/unit/agent/test_spool.py"),
    Mutant("seals go where others stand", "seal_offset(segment.size, segment.copies)", "seal_offset(segment.size, 0)", BOX),
)  # fmt: skip

SENDING = many(
    "exptrack_agent/courier.py",
    Mutant("resends from the acknowledged item instead of after it", "while self.under_way and self.under_way[0].end <= sequence:", "while self.under_way and self.under_way[0].end < sequence:", COURIER),
    Mutant("half of a span acknowledged counts as all of it", "while self.under_way and self.under_way[0].end <= sequence:", "while self.under_way and self.under_way[0].first < sequence:", COURIER),
    Mutant("a new daemon is not sent what the old one had", "            if is_another:\n                self._resend(now)\n", "", COURIER),
    Mutant("resent in the wrong order", "self.to_send.extendleft(reversed(self.under_way))", "self.to_send.extendleft(self.under_way)", COURIER),
    Mutant("what was sent counts as delivered", "        self.under_way.append(span)\n", "", COURIER),
    Mutant("never resent when a frame was lost on the way", "            self._resend(now)\n            self._resend_after_s", "            self._resend_after_s", COURIER),
)  # fmt: skip

HOT_PATH = many(
    "exptrack_agent/rows.py",
    Mutant("published before it is copied", "                    self._memory[start:end] = row\n                    self._cells[CELL_HEAD] = end | end << 21 | end << 42\n", "                    self._cells[CELL_HEAD] = end | end << 21 | end << 42\n                    self._memory[start:end] = row\n", PUBLISHING),
    Mutant("a row is not published", "                    self._memory[start:end] = row\n                    self._cells[CELL_HEAD] = end | end << 21 | end << 42\n", "                    self._memory[start:end] = row\n", ROWS),
    Mutant("a row's number is spent twice", "                    self._head = end\n                    self._sequence += 1\n", "                    self._head = end\n", ROWS),
)  # fmt: skip

WIRE = (
    *many(
        "proto/exptrack_proto/frame.py",
        Mutant("a newer frame is read as ours", "data[2] > FORMAT_VERSION", "data[2] > 255", "tests/unit/proto"),
        Mutant("sequences without a bound", "if first + count > MAX_SEQUENCE:", "if first < 0:", "tests/unit/proto"),
    ),
    *many(
        "proto/exptrack_proto/ring.py",
        Mutant("seals say nothing of their segment", "crc32(facts, crc32(stream, number & 0xFFFFFFFF))", "crc32(facts)", "tests/unit/proto"),
    ),
    *many(
        "proto/exptrack_proto/ring_reader.py",
        Mutant("a head beyond the file is believed", "    if head > len(view):\n", "    if head < 0:\n", "tests/unit/proto"),
        Mutant("a newer black box is read as ours", "if version > RING_VERSION:", "if version > 1 << 60:", "tests/unit/proto"),
        Mutant("damaged items are believed", "if crc32(items) == seal.crc:", "if crc32(items) != -1:", "tests/unit/proto"),
        Mutant("on disk, items without a seal are believed", "if self.is_copy or self.has_bad_seals:", "if self.has_bad_seals and not self.is_copy:", "tests/unit/proto"),
    ),
)  # fmt: skip

MUTANTS = (
    *DELIVERY,
    *INTAKE,
    *RECOVERING,
    *BLACK_BOX,
    *SEGMENTS,
    *SPOOL,
    *SENDING,
    *HOT_PATH,
    *WIRE,
)
