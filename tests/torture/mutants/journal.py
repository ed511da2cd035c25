"""Bugs in the journal's writer, bytes and reader, in cursors, and at the door to the file system."""

from __future__ import annotations

from tests.torture.mutants.mutant import Mutant, many

CRASHES = "-m tests.torture.crashes --count 400 --processes 1"
POINTS = "-m tests.torture.points --records 24"
SECTORS = "tests/torture/test_damage.py -k sectors"
ARRANGEMENTS = "tests/torture/test_damage.py -k arrangements"
DAMAGED_CURSORS = "tests/torture/test_damage.py -k cursors"
UNIT = "tests/unit/journal"

WRITER = many(
    "exptrack_daemon/journal/writer.py",
    Mutant("ack before fsync", "            self._file.sync()\n            self._mark()\n        except OSError:", "            self._mark()\n        except OSError:", POINTS),
    Mutant("mark before fsync", "            self._file.sync()\n            self._mark()\n        except OSError:", "            self._mark()\n            self._file.sync()\n        except OSError:", POINTS),
    Mutant("fsync's error ignored", "            self._file.sync()\n            self._mark()\n        except OSError:", "            with contextlib.suppress(OSError):\n                self._file.sync()\n            self._mark()\n        except OSError:", POINTS),
    Mutant("fsync asked again after an error", "            self._file.sync()\n            self._mark()\n        except OSError:", "            try:\n                self._file.sync()\n            except OSError:\n                self._file.sync()\n            self._mark()\n        except OSError:", POINTS),
    Mutant("folder not synced after rename", "            self._files.rename(unnamed, path)\n            self._files.sync_directory(self._directory)", "            self._files.rename(unnamed, path)", POINTS),
    Mutant("names of the run's folders not durable", "        for folder in (self._directory.parent.parent, self._directory.parent):\n            self._files.sync_directory(folder)\n", "", POINTS),
    Mutant("named before it is durable", "            self._file.sync()\n            self._files.rename(unnamed, path)\n", "            self._files.rename(unnamed, path)\n            self._file.sync()\n", CRASHES),
    Mutant("what stands after the last mark is forgotten", "        if not ending.unmarked:\n            return", "        if ending.unmarked or not ending.unmarked:\n            return", CRASHES),
    Mutant("frames after a torn one are adopted", "        self.unmarked = self.unmarked[:whole]\n", "", CRASHES),
    Mutant("off by one in the torn tail", "self.unmarked[:whole]", "self.unmarked[: whole and whole - 1]", CRASHES),
    Mutant("adopted frames count before they are copied", "            self._make_segment(ending.unmarked)\n", "            for _, frame in ending.unmarked:\n                self._count(frame)\n            self._keep_streams()\n", CRASHES),
    Mutant("ordinals used again after a restart", "        self.record, self.rows = max(self.record, mark.record), max(self.rows, mark.rows)\n", "", CRASHES),
    Mutant("a failed append still counts", "        self.uncommitted_bytes = 0\n        self._back_to_tail()\n", "        self.uncommitted_bytes = 0\n", POINTS),
    Mutant("goes on in a file that failed", "        with contextlib.suppress(OSError):\n            self._leave()\n        self.uncommitted_bytes = 0", "        self.uncommitted_bytes = 0", POINTS),
    Mutant("a segment's end not told to the next", "previous_end=self._tail.end", "previous_end=0", CRASHES),
    Mutant("the whole of an abandoned file counts", "previous_end=self._tail.end", "previous_end=1 << 40", CRASHES),
    Mutant("a header without its streams: sequences used again", "for stream, end in self.streams.items()],", "for stream, end in self.streams.items()][:0],", CRASHES),
    Mutant("segments that could not be begun pile up", "            self._remove(unnamed, path)  # a full disk must not fill with empty segments\n", "", f"{UNIT}/test_writer.py"),
    Mutant("no mark at a segment's end", "            self._file.sync()\n            self._mark()\n            self._leave()", "            self._file.sync()\n            self._leave()", CRASHES),
    Mutant("no fsync at a segment's end", "            self._file.sync()\n            self._mark()\n            self._leave()", "            self._mark()\n            self._leave()", CRASHES),
    Mutant("rows counted as frames", "frame.items if frame.kind is Kind.ROWS else 0", "1", f"{UNIT}/test_writer.py"),
    Mutant("a closed stream opens again", "stream.closed = stream.closed or frame.kind is Kind.CLOSE", "stream.closed = False", f"{UNIT}/test_writer.py"),
    Mutant("the last process's name is trusted unsynced", "        self._files.sync_directory(self._directory)\n        self._has_folder = True", "        self._has_folder = True", f"{UNIT}/test_writer.py"),
    Mutant("the file is unlinked before its successor has a name", "            self._file.sync()\n            self._files.rename(unnamed, path)", "            self._file.sync()\n            self._files.remove(segment_path(self._directory, self._number - 1))\n            self._files.rename(unnamed, path)", CRASHES),
)  # fmt: skip

BYTES = many(
    "exptrack_daemon/journal/segment.py",
    Mutant("no checksum", "if _crc(piece, kind, at, self._salt) != crc:", "if False and crc:", SECTORS),
    Mutant("a checksum of half the payload", "return zlib.crc32(piece, zlib", "return zlib.crc32(piece[: len(piece) // 2], zlib", SECTORS),
    Mutant("a segment is taken for another one", 'return zlib.crc32(f"{run_id}/{segment}".encode())', "return len(run_id)", ARRANGEMENTS),
    Mutant("a place is taken for another one", "_PLACE.pack(offset, kind)", "_PLACE.pack(0, kind)", "tests/property/test_journal_damage.py"),
    Mutant("a bad length costs the whole block", "            after = self._search()", "            after = None", SECTORS),
    Mutant("off by one at a block's end", "        if room < _FRAGMENT.size:", "        if room <= _FRAGMENT.size:", f"{UNIT}/test_segment.py"),
    Mutant("a newer version is read as ours", "data[0] > JOURNAL_VERSION", "data[0] > 255", UNIT),
)  # fmt: skip

READER = many(
    "exptrack_daemon/journal/reader.py",
    Mutant("frames are read before they are durable", "if self._is_past or isinstance(meaning, Mark):", "if self._is_past or meaning:", CRASHES),
    Mutant("an older segment is read beyond its end", "wanted = size if end is None else min(size, max(0, end - position.offset))", "wanted = size", CRASHES),
    Mutant("frames with known ordinals are read again", "if found.record < self._position.record:", "if found.record < 0:", CRASHES),
    Mutant("resends from the last frame instead of after it", "Position(self._number, record.end, found.record + 1, found.rows_after)", "Position(self._number, record.offset, found.record, found.rows)", CRASHES),
    Mutant("a position in a segment whose name is not durable", "if self._remembers and reading.next != position", "if not self._remembers and reading.next != position", f"{UNIT}/test_reader.py"),
    Mutant("flaws are kept quiet", "        self.flaws += self._new_flaws\n", "", SECTORS),
    Mutant("missing frames between segments are kept quiet", "        elif lost:\n", "        elif lost < 0:\n", "tests/torture/test_damage.py -k cuts"),
    Mutant("a missing segment is kept quiet", "            if place.header is None or place.header.previous >= position.segment:\n                reading.flaws", "            if place.header is None:\n                reading.flaws", ARRANGEMENTS),
    Mutant("whoever comes next says where a segment ends", "if self.header is None or self.header.previous != number:", "if self.header is None:", f"{UNIT}/test_reader.py"),
    Mutant("a segment without its header is kept quiet", '            if place.header is None and here.offset == 0:\n                reading.flaws.append(_flaw_at(here, "the segment has no header"))\n', "", ARRANGEMENTS),
)  # fmt: skip

CURSORS = many(
    "exptrack_daemon/journal/cursor.py",
    Mutant("a damaged cursor is believed", "cursor.check == _check(cursor)", "cursor.check >= 0", DAMAGED_CURSORS),
    Mutant("a newer cursor is believed", "cursor.version <= CURSOR_VERSION and ", "", f"{UNIT}/test_cursor.py"),
)  # fmt: skip

DOOR = many(
    "exptrack_daemon/files.py",
    Mutant("a replaced file is not synced", "        file.append(data)\n        file.sync()\n", "        file.append(data)\n", CRASHES),
    Mutant("a replaced file's name is not synced", "    files.rename(temporary, path)\n    files.sync_directory(path.parent)\n", "    files.rename(temporary, path)\n", CRASHES),
    Mutant("a file is replaced in place", 'temporary = path.with_name(path.name + ".tmp")', "temporary = path", CRASHES),
    Mutant("a short write passes for a whole one", "        while rest:\n", "        if rest:\n", "tests/unit/daemon/test_files.py"),
    Mutant("fsync that does not sync", "        os.fdatasync(self._descriptor)\n", "        os.fstat(self._descriptor)\n", "tests/unit/daemon/test_files.py"),
)  # fmt: skip

MUTANTS = (*WRITER, *BYTES, *READER, *CURSORS, *DOOR)
