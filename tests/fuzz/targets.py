"""What is fuzzed: each target makes inputs from right ones, and takes them as production code does.

`take` returns for an input that was read or refused as declared; anything that it raises is a finding.
A target also says what must hold of what came out, so nonsense that is accepted quietly is a finding, too.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Protocol

from exptrack_daemon.config import load_config
from exptrack_daemon.errors import ConfigInvalid, JournalNewer
from exptrack_daemon.home import Home
from exptrack_daemon.intake.desk import Desk
from exptrack_daemon.intake.recovery import Remains, recover
from exptrack_daemon.journal.reader import segment_path
from exptrack_daemon.journal.segment import Record, fragment, salt_of, scan
from exptrack_daemon.journal.writer import JournalConfig
from exptrack_daemon.live import LiveStreams
from exptrack_proto import codec, ring, ring_reader
from exptrack_proto.control import decode_control, encode_control
from exptrack_proto.errors import ProtocolError
from exptrack_proto.frame import HEADER_BYTES, parse
from tests.fuzz.mutate import mutate_bytes, mutate_msgpack, tokens
from tests.support.desks import STREAM
from tests.support.homes import TurnedClock
from tests.support.journals import DIRECTORY, RUN, read_found
from tests.support.memory_files import MemoryFiles
from tests.torture.damage import Frozen, small_journal

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "proto" / "vectors"
CORPUS = Path(__file__).parent / "corpus"
WIRE_S = 0.010
"""Of what anybody may send, or a crash may leave."""


class Target(Protocol):
    """Something that reads bytes from anywhere."""

    seeds: list[bytes]
    most_cpu_s: float
    """What one input may cost."""

    def make(self, luck: Random) -> bytes:
        """The next input."""

    def take(self, data: bytes) -> None:
        """Read it as production does. Raises nothing but for a finding."""

    def close(self) -> None:
        """Leave nothing behind."""


def kept(name: str, suffix: str = "bin") -> list[bytes]:
    """Inputs worth keeping: those that found something once."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob(f"*.{suffix}"))]


class Decoder:
    """Frames from the wire: header, typed body, and what is saved of one that is damaged."""

    most_cpu_s = WIRE_S

    def __init__(self) -> None:
        files = sorted((VECTORS / "frames").glob("*.bin"))
        self.seeds = [data for path in files if (data := path.read_bytes())] + kept("decoder")
        self._cut = [_split_frame(data) for data in self.seeds]
        self._bodies = [body for _, body in self._cut if body]

    def make(self, luck: Random) -> bytes:
        head, body = luck.choice(self._cut)
        if luck.random() < 0.2:
            return mutate_bytes(luck, head + b"".join(body))
        if luck.random() < 0.2:
            head = mutate_bytes(luck, head)
        return head + mutate_msgpack(luck, body, self._bodies)

    def take(self, data: bytes) -> None:
        try:
            frame = parse(data)
        except ProtocolError:
            return
        try:
            codec.decode(frame)
        except ProtocolError:
            self._save(data)

    @staticmethod
    def _save(data: bytes) -> None:
        frame = parse(data)
        try:
            rows = list(codec.salvage(frame))
        except ProtocolError:
            return
        assert [sequence for sequence, _, _ in rows] == list(range(frame.first, frame.end))
        good = [row for _, row, fault in rows if fault is None]
        for packed in codec.pack_frames("r", STREAM, 0, good):
            codec.decode(parse(packed))

    def close(self) -> None:
        pass


def _split_frame(data: bytes) -> tuple[bytes, list[bytes]]:
    end = HEADER_BYTES + data[HEADER_BYTES - 1] if len(data) >= HEADER_BYTES else len(data)
    return data[:end], tokens(data[end:])


class Control:
    """Messages on the control channel, in both directions."""

    most_cpu_s = WIRE_S

    def __init__(self) -> None:
        files = sorted((VECTORS / "control").glob("*.bin"))
        self.seeds = [path.read_bytes() for path in files] + kept("control")
        self._cut = [tokens(data) for data in self.seeds]

    def make(self, luck: Random) -> bytes:
        if luck.random() < 0.2:
            return mutate_bytes(luck, luck.choice(self.seeds))
        return mutate_msgpack(luck, luck.choice(self._cut), self._cut)

    def take(self, data: bytes) -> None:
        try:
            message = decode_control(data)
        except ProtocolError:
            return
        assert decode_control(encode_control(message)) == message

    def close(self) -> None:
        pass


class JournalTarget:
    """A run's journal of three segments: its bytes, or records changed under right checksums."""

    most_cpu_s = WIRE_S

    def __init__(self) -> None:
        files = small_journal()
        paths = [segment_path(DIRECTORY, number) for number in (1, 2, 3)]
        self.seeds = [files.read(path) for path in paths]
        self._segments = dict(enumerate(self.seeds, 1))
        self._records = {
            number: [
                bytes(found.payload)
                for found in scan(data, 0, salt_of(RUN, number))
                if isinstance(found, Record)
            ]
            for number, data in self._segments.items()
        }
        self.seeds += kept("journal")

    def make(self, luck: Random) -> bytes:
        number = 1 + int(luck.random() * 3)
        if luck.random() < 0.4:
            return bytes([number]) + mutate_bytes(luck, self._segments[number])
        records = list(self._records[number])
        for _ in range(1 + int(luck.random() * 3)):
            at = int(luck.random() * len(records))
            if luck.random() < 0.7:
                records[at] = mutate_bytes(luck, records[at])
            else:
                records.insert(at, luck.choice(self._records[1 + int(luck.random() * 3)]))
        data = b""
        for record in records:
            data += fragment(record, len(data), salt_of(RUN, number))
        return bytes([number]) + data

    def take(self, data: bytes) -> None:
        number = data[0] % 3 + 1
        files = Frozen(self._segments | {number: data[1:]})
        try:
            found, _, _ = read_found(files)
        except JournalNewer:
            return
        ordinals = [item.start.record for item in found]
        assert ordinals == sorted(set(ordinals)), "out of order, or twice"

    def close(self) -> None:
        pass


class RingTarget:
    """What a dead trainer left in shared memory, brought in by the intake's recovery."""

    most_cpu_s = WIRE_S

    def __init__(self) -> None:
        files = sorted((VECTORS / "ring").glob("*.bin"))
        self.seeds = [path.read_bytes() for path in files] + kept("ring")
        self._cut = [(data[:256], tokens(data[256:])) for data in self.seeds]
        self._bodies = [body for _, body in self._cut if body]
        self._root = Path(tempfile.mkdtemp(prefix="exptrack-fuzz-"))

    def make(self, luck: Random) -> bytes:
        head, body = luck.choice(self._cut)
        if luck.random() < 0.3:
            return mutate_bytes(luck, head + b"".join(body))
        items = mutate_msgpack(luck, body, self._bodies)
        data = bytearray(head.ljust(256, b"\0") + items)
        if luck.random() < 0.7:
            version = int.from_bytes(data[ring.CELL_VERSION * 8 :][:8], "little")
            head = len(data) * (1 if version == 1 else ring.HEAD_COPIES) % (1 << 64)
            data[ring.CELL_HEAD * 8 : ring.CELL_HEAD * 8 + 8] = head.to_bytes(8, "little")
        return bytes(data)

    def take(self, data: bytes) -> None:
        try:
            segment = ring_reader.read_segment(data)
        except ProtocolError:
            segment = None
        if segment is None:
            return
        self._bring_in(data)

    def _bring_in(self, data: bytes) -> None:
        """As the intake does, with a journal in memory; what it wrote can be read, without a flaw."""
        home, files = Home(self._root), MemoryFiles()
        folder = home.spool / STREAM.hex()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "00000000.seg").write_bytes(data)
        desk = Desk(
            home=home,
            files=files,
            clock=TurnedClock(),
            config=JournalConfig(),
            live=LiveStreams(files, home.live),
        )

        def commit() -> bool:
            desk.commit()
            return desk.counters.disk_errors == 0

        for _ in recover(desk, Remains(STREAM, [folder]), commit):
            pass
        desk.close()
        shutil.rmtree(home.quarantine, ignore_errors=True)

    def close(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


class ConfigTarget:
    """HOME/daemon.toml."""

    most_cpu_s = 0.1  # its owner wrote it, and it is read once

    def __init__(self) -> None:
        page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
        self.seeds = [part.partition("```")[0].encode() for part in page.split("```toml\n")[1:]]
        self.seeds += kept("config", "toml")
        self._root = Path(tempfile.mkdtemp(prefix="exptrack-fuzz-"))
        self._lines = [line for seed in self.seeds for line in seed.splitlines(keepends=True)]

    def make(self, luck: Random) -> bytes:
        deed = luck.random()
        if deed < 0.3:
            return mutate_bytes(luck, luck.choice(self.seeds))
        lines = [luck.choice(self._lines) for _ in range(1 + int(luck.random() * 8))]
        if deed < 0.7:
            at = int(luck.random() * len(lines))
            name, equals, _ = lines[at].partition(b"=")
            lines[at] = name + (equals or b"=") + luck.choice(_TOML_VALUES) + b"\n"
        return b"".join(lines)

    def take(self, data: bytes) -> None:
        Home(self._root).settings.write_bytes(data)
        try:
            load_config(self._root)
        except ConfigInvalid as error:
            said = str(error)
        else:
            return
        assert len(said) < 2_000, "a message that long is for nobody"

    def close(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


_TOML_VALUES = (
    *(b"0", b"-1", b"1e999", b"nan", b"inf", b"-inf", b"true", b'""', b"[]", b"{}", b"9" * 30),
    *(b"9" * 5_000, b"0x" + b"f" * 20_000, b'"\\ud800"', b'"\\u0000"', b'"' + b"a" * 9_000 + b'"'),
    *(b"1979-05-27T07:32:00Z", b"[" * 400 + b"]" * 400, b"[" * 5_000, b"{a=" * 2_000, b"'''"),
    *(b'[1, "a", {}]', b"{a.b.c = 1}", b'["tensorboard"]', b'["a\\nb"]', b"\xff\xfe", b"1 # x"),
)

TARGETS: dict[str, Callable[[], Target]] = {
    "decoder": Decoder,
    "control": Control,
    "journal": JournalTarget,
    "ring": RingTarget,
    "config": ConfigTarget,
}
