"""Rewrites the golden bytes of the wire format: `python -m tests.support.make_vectors` (PYTHONPATH=.:proto).

Each folder of proto/vectors has `NAME.bin` files and `meanings.json`, which says what they mean, or which
error they are refused with. A change of a file that was released is a change of the format.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from exptrack_proto import records
from exptrack_proto.codec import decode, encode_item, encode_rows
from exptrack_proto.control import Ack, Hello, Stop, decode_control, encode_control
from exptrack_proto.frame import HEADER_BYTES, Frame, Kind, encode_header, parse, rows_prefix
from exptrack_proto.limits import MAX_FRAME_BYTES
from exptrack_proto.records import Array, Item, Row
from exptrack_proto.ring import CELL_FIRST, CELL_HEAD, CELL_RUN_LENGTH, CELL_VERSION, DATA_OFFSET
from exptrack_proto.ring_reader import RingSegment, read_segment
from tests.support.rings import old_segment_bytes, sealed_segment_bytes, segment_bytes

VECTORS = Path(__file__).parents[2] / "proto" / "vectors"
RUN = "mnist-7f3a.1"
STREAM = bytes.fromhex("00112233445566778899aabbccddeeff")
TIME = 1_700_000_000_123_456_789


@dataclass
class Folder:
    """The vectors of one kind of bytes."""

    valid: dict[str, tuple[bytes, Any]] = field(default_factory=dict)
    """By name: bytes, and what they mean."""
    decode_only: set[str] = field(default_factory=set)
    """Valid, but not the bytes that this code would write."""
    invalid: dict[str, tuple[bytes, str, str]] = field(default_factory=dict)
    """By name: bytes, the error's class, and why."""

    def refuse(self, name: str, data: bytes, why: str, error: str = "Malformed") -> None:
        self.invalid[name] = (data, error, why)


def plain(value: Any) -> Any:
    """As JSON: bytes become `{"hex": …}`, floats that JSON lacks `{"float": …}`."""
    if isinstance(value, bytes | memoryview):
        return {"hex": bytes(value).hex()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"float": str(value)}
    if isinstance(value, msgspec.Struct):
        fields = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        return (
            {"kind": value.__struct_config__.tag} | fields
            if _is_item(value)
            else list(fields.values())
        )
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def revived(value: Any) -> Any:
    """The opposite of `plain`, but for the types of items."""
    if isinstance(value, dict):
        if set(value) == {"hex"}:
            return bytes.fromhex(value["hex"])
        if set(value) == {"float"}:
            return float(value["float"])
        return {name: revived(item) for name, item in value.items()}
    return [revived(item) for item in value] if isinstance(value, list) else value


def _is_item(value: msgspec.Struct) -> bool:
    return not value.__struct_config__.array_like


def meaning_of(frame: Frame) -> dict[str, Any]:
    """What a frame says, as JSON."""
    return {
        "kind": frame.kind.name.lower(),
        "run_id": frame.run_id,
        "stream": frame.stream.hex(),
        "first": frame.first,
        "items": frame.items,
        "body": plain(decode(frame)),
    }


ITEMS: dict[str, Item] = {
    "open-short": records.Open(time_ns=TIME, project="mnist", name="first try"),
    "open-full": records.Open(
        time_ns=TIME,
        project="mnist",
        name="größer 🚀",
        group="sweep",
        job_type="train",
        tags=["a", "b"],
        notes="two\nlines",
        config='{"lr": 0.001, "layers": [1, 2]}',
        sinks=["tensorboard", "wandb"],
        sink_options='{"wandb": {"entity": "me"}}',
        resumed=True,
        rank=3,
        world_size=8,
        pid=4_242,
        host="node1",
        program="train.py",
        python="3.11.9",
        agent="0.1.0",
    ),
    "open-sampler": records.Open(time_ns=TIME, project="p", name="n", role="sampler"),
    "close-finished": records.Close(time_ns=TIME, status="finished", exit_code=0),
    "close-crashed": records.Close(time_ns=TIME, status="crashed"),
    "chunk": records.Chunk(data=bytes(range(8))),
    "image": records.Image(
        name="sample", step=7, time_ns=TIME, pixels=Array("u1", [1, 2, 3], 0, b"\0\1\2\3\4\5")
    ),
    "image-chunked": records.Image(
        name="s",
        step=7,
        time_ns=TIME,
        pixels=Array("u1", [8], 1),
        format="png",
        caption="c",
        figure=True,
    ),
    "histogram-values": records.Histogram(
        name="w", step=-1, time_ns=TIME, values=Array("f4", [2], 0, bytes(8))
    ),
    "histogram-counts": records.Histogram(
        name="w",
        step=1,
        time_ns=TIME,
        counts=Array("i8", [1], 0, (5).to_bytes(8, "little")),
        edges=Array("f8", [2], 0, bytes(16)),
    ),
    "text": records.TextItem(name="note", step=0, time_ns=TIME, text="**bold**"),
    "table": records.Table(name="t", step=0, time_ns=TIME, columns=["a", "b"], rows='[[1,"x"]]'),
    "hparams": records.Hparams(time_ns=TIME, hparams='{"lr":0.1}', metrics='{"loss":0.5}'),
    "graph": records.Graph(
        time_ns=TIME, nodes='[{"name":"a","op":"Relu","inputs":[],"shape":null}]'
    ),
    "artifact": records.Artifact(
        time_ns=TIME, step=9, name="best", type="checkpoint", path="/c/best.pt", size_bytes=12
    ),
    "note": records.Note(time_ns=TIME, text="lr was too high"),
    "config": records.ConfigUpdate(time_ns=TIME, config='{"lr":0.01}'),
    "summary": records.Summary(time_ns=TIME, values='{"best":0.1}'),
    "alert": records.Alert(time_ns=TIME, title="NaN", text="loss is NaN", level="error"),
    "loss": records.Loss(time_ns=TIME, first=10, last=19, reason="memory and spool were full"),
}
ROWS = {
    "rows-one": [Row(7, TIME, {"train/loss": 0.125, "lr": 0.001})],
    "rows-scalars": [
        Row(
            0,
            TIME,
            {
                "nan": float("nan"),
                "inf": float("inf"),
                "-inf": float("-inf"),
                "-0.0": -0.0,
                "int": 2**64 - 1,
                "negative": -(2**63),
                "yes": True,
                "no": False,
                "none": None,
                "text": "großartig",
            },
        )
    ],
    "rows-any-order": [Row(5, TIME, {"a": 1.0}), Row(-5, TIME + 1, {"b": 2}), Row(5, 0, {})],
}


def frames() -> Folder:
    folder = Folder()
    for sequence, (name, item) in enumerate(ITEMS.items()):
        data = encode_item(RUN, STREAM, 0 if name.startswith("open") else sequence, item)
        folder.valid[name] = (data, meaning_of(parse(data)))
    for name, rows in ROWS.items():
        data = encode_rows(RUN, STREAM, 1, rows)
        folder.valid[name] = (data, meaning_of(parse(data)))
    nested = {"train": {"loss": 0.5, "by": {"class": {"cat": 1, "dog": 2}}}, "train/loss": 0.25}
    for name, body in {
        "rows-nested": msgpack.packb([0, TIME, nested]),
        "rows-float32-and-long-ints": b"\x93\xd3"
        + bytes(7)
        + b"\x09\xcf"
        + bytes(8)
        + b"\x81\xd9\x01a\xca\x3f\x80\x00\x00",
    }.items():
        data = encode_header(Kind.ROWS, RUN, STREAM, 1, 1) + rows_prefix(1) + body
        folder.valid[name] = (data, meaning_of(parse(data)))
        folder.decode_only.add(name)
    _invalid_headers(folder)
    _invalid_bodies(folder)
    return folder


def _invalid_headers(folder: Folder) -> None:
    good = folder.valid["rows-one"][0]

    def changed(offset: int, new: bytes) -> bytes:
        return good[:offset] + new + good[offset + len(new) :]

    refuse = folder.refuse
    refuse("empty", b"", "nothing")
    refuse("header-cut", good[: HEADER_BYTES - 1], "fewer bytes than a header")
    refuse("magic", changed(0, b"xt"), "does not begin with XT")
    refuse("version-newer", changed(2, b"\x02"), "version 2", "UnsupportedVersion")
    refuse(
        "version-newer-short", b"XT\x7f", "version 127, of whatever length", "UnsupportedVersion"
    )
    refuse("version-zero", changed(2, b"\0"), "version 0 never was")
    refuse("kind-unknown", changed(3, b"\x05"), "kind 5")
    refuse("rows-none", changed(4, bytes(4)), "no items")
    refuse("rows-too-many", changed(4, (65_537).to_bytes(4, "little")), "65,537 rows")
    refuse("sequence-huge", changed(8, b"\xff" * 8), "sequence beyond 2**63 - 1")
    refuse("run-id-empty", changed(32, b"\0"), "run id of 0 bytes")
    refuse("run-id-longer-than-frame", good[:32] + b"\x40abc", "run id is cut off")
    refuse("run-id-slash", changed(33, b"a/b"), "run id is no file name")
    refuse("run-id-dot", changed(33, b"."), "run id begins with a dot")
    refuse("run-id-not-ascii", changed(33, "é".encode()), "run id is not ASCII")
    refuse("run-id-newline", changed(33 + len(RUN) - 1, b"\n"), "run id ends with a line feed")
    two = encode_header(Kind.CLOSE, RUN, STREAM, 5, 2) + msgspec.msgpack.encode(
        ITEMS["close-crashed"]
    )
    refuse("close-two", two, "2 items in a frame that holds one")


def _invalid_bodies(folder: Folder) -> None:
    def rows(body: bytes, count: int = 1) -> bytes:
        return encode_header(Kind.ROWS, RUN, STREAM, 1, count) + body

    def item(kind: Kind, value: Any) -> bytes:
        return encode_header(kind, RUN, STREAM, 1, 1) + msgpack.packb(value)

    def row(values: Any, step: Any = 0, time: Any = 0) -> bytes:
        return rows(rows_prefix(1) + msgpack.packb([step, time, values]))

    good = msgpack.packb([0, 0, {"a": 1.0}])
    refuse = folder.refuse
    refuse("body-empty", rows(b""), "no body")
    refuse("rows-prefix-short", rows(b"\x91" + good), "the array of rows is not an array 32")
    refuse("rows-fewer", rows(rows_prefix(2) + good, 2), "says 2 rows, holds 1")
    refuse("rows-count-differs", rows(rows_prefix(2) + good * 2, 1), "header and body disagree")
    refuse("rows-trailing", rows(rows_prefix(1) + good + b"\xc0"), "bytes after the rows")
    refuse("row-two-fields", rows(rows_prefix(1) + msgpack.packb([0, 0])), "a row of 2")
    refuse("row-four-fields", rows(rows_prefix(1) + msgpack.packb([0, 0, {}, 0])), "a row of 4")
    refuse("row-step-float", row({}, step=1.5), "a step is an integer")
    refuse("row-step-huge", row({}, step=2**63), "step beyond 64 bits, signed")
    refuse("row-time-negative", row({}, time=-1), "time before 1970")
    refuse("row-name-int", row({1: 1.0}), "a name is a text")
    refuse("row-name-long", row({"n" * 1_025: 1.0}), "a name of 1,025 characters")
    refuse("row-value-array", row({"a": [1]}), "a value is a scalar or a map")
    refuse("row-value-bytes", row({"a": b"x"}), "a value is a scalar or a map")
    refuse("row-value-ext", row({"a": msgpack.ExtType(1, b"x")}), "ext types are not used")
    refuse("row-value-timestamp", row({"a": msgpack.Timestamp(1)}), "ext types are not used")
    refuse("row-depth-5", row({"a": {"b": {"c": {"d": {"e": 1}}}}}), "mappings 5 deep")
    refuse("row-not-utf8", rows(rows_prefix(1) + b"\x93\0\0\x81\xa1\xff\0"), "a name is not UTF-8")
    close = {"kind": "close", "time_ns": 1, "status": "finished"}
    refuse("item-kind-differs", item(Kind.OPEN, close), "a close in an open frame")
    refuse("item-kind-unknown", item(Kind.EVENT, {"kind": "video", "time_ns": 1}), "unknown kind")
    refuse("item-kind-missing", item(Kind.EVENT, {"time_ns": 1, "text": "x"}), "no kind")
    refuse("item-field-unknown", item(Kind.CLOSE, {**close, "x": 1}), "unknown field")
    refuse("item-field-missing", item(Kind.CLOSE, {"kind": "close", "time_ns": 1}), "no status")
    refuse("item-status-unknown", item(Kind.CLOSE, {**close, "status": "lost"}), "unknown status")
    refuse("item-trailing", item(Kind.CLOSE, close) + b"\0", "bytes after the item")
    refuse("item-array", item(Kind.EVENT, [0, 0, {}]), "a row in an event frame")
    image = {"kind": "image", "name": "i", "step": 0, "time_ns": 0}
    for name, pixels, why in (
        ("array-dtype", ["c8", [1], 0, b""], "unknown dtype"),
        ("array-9-dimensions", ["u1", [1] * 9, 0, b""], "9 dimensions"),
        ("array-negative", ["u1", [-1], 0, b""], "negative dimension"),
        ("array-257-chunks", ["u1", [1], 257, b""], "257 chunks"),
        ("array-short", ["u1"], "no shape"),
    ):
        refuse(name, item(Kind.EVENT, {**image, "pixels": pixels}), why)
    assert all(len(data) <= MAX_FRAME_BYTES for data, _, _ in folder.invalid.values())


def control() -> Folder:
    folder = Folder()
    for name, message in {
        "hello": Hello(STREAM, RUN, 0, 12),
        "hello-large": Hello(STREAM, "r" * 64, 2**40, 2**63 - 1),
        "ack": Ack("boot-1", STREAM, 12),
        "ack-notice": Ack("boot-1", STREAM, 0, "3 rows were lost"),
        "stop": Stop(STREAM, "asked for by exptrack stop"),
    }.items():
        data = encode_control(message)
        assert decode_control(data) == message
        kind = type(message).__name__.lower()
        folder.valid[name] = (data, {"kind": kind, **plain(message._asdict())})
    hello = [1, "hello", STREAM, RUN, 0, 1]

    def refuse(name: str, value: Any, why: str, error: str = "Malformed") -> None:
        folder.refuse(name, value if isinstance(value, bytes) else msgpack.packb(value), why, error)

    refuse("empty", b"", "nothing")
    refuse("not-msgpack", b"\xc1", "0xc1 is no msgpack")
    refuse("trailing", msgpack.packb(hello) + b"\0", "bytes after the message")
    refuse("map", {"kind": "hello"}, "maps are not used")
    refuse("version-newer", [2, "hello"], "version 2, of whatever shape", "UnsupportedVersion")
    refuse("version-zero", [0, *hello[1:]], "version 0 never was")
    refuse("version-true", [True, *hello[1:]], "a version is an integer")
    refuse("kind-unknown", [1, "goodbye"], "unknown kind")
    refuse("field-missing", hello[:-1], "hello has four fields")
    refuse("field-extra", [*hello, 0], "hello has four fields")
    refuse("stream-short", [1, "hello", STREAM[1:], RUN, 0, 1], "a stream id has 16 bytes")
    refuse("stream-text", [1, "hello", "s" * 16, RUN, 0, 1], "a stream id is binary")
    refuse("run-id", [1, "hello", STREAM, "../x", 0, 1], "run id is no file name")
    refuse("sequence-negative", [1, "hello", STREAM, RUN, -1, 1], "sequence below 0")
    refuse("sequence-true", [1, "hello", STREAM, RUN, 0, True], "a sequence is an integer")
    refuse("sequence-huge", [1, "ack", "b", STREAM, 2**63, ""], "sequence beyond 2**63 - 1")
    refuse("notice-bytes", [1, "ack", "b", STREAM, 0, b""], "a notice is a text")
    refuse("too-long", [1, "stop", STREAM, "x" * 4_096], "more than 4,096 bytes")
    return folder


def segment_meaning(segment: RingSegment | None) -> Any:
    """What was read of a ring segment, as JSON; None: it is empty."""
    if segment is None:
        return None
    meaning = segment._asdict()
    for key in ("parts", "holes"):
        meaning[key] = [part._asdict() for part in meaning[key]]
    return plain(meaning)


def ring() -> Folder:
    """Segments of version 1, which is only read, and of version 2, with and without seals."""
    folder = Folder()
    row, note = msgpack.packb([7, TIME, {"a": 1.0}]), msgspec.msgpack.encode(ITEMS["note"])
    names = {"run": RUN, "stream": STREAM}
    good = old_segment_bytes(2, 5, row, **names)
    chunks = [[row, note], [row]]
    sealed = sealed_segment_bytes(2, 5, chunks, [row], **names)
    copy = sealed_segment_bytes(2, 5, chunks, [], is_copy=True, **names)
    hurt = bytearray(copy)
    hurt[DATA_OFFSET + 3] ^= 1
    for name, data in {
        "one-row": good,
        "row-and-item": old_segment_bytes(2, 5, row + note + row, **names),
        "unsealed": segment_bytes(2, 5, [row, note], **names),
        "sealed": sealed,
        "copy": copy,
        "copy-damaged": hurt,
        "sealed-second-header": bytes(DATA_OFFSET) + sealed[DATA_OFFSET:],
    }.items():
        segment = read_segment(bytes(data))
        assert segment is not None
        folder.valid[name] = (bytes(data), segment_meaning(segment))
        folder.decode_only.add(name)

    def changed(cell: int, number: int, data: bytes = bytes(good)) -> bytes:
        return data[: cell * 8] + number.to_bytes(8, "little") + data[cell * 8 + 8 :]

    for name, data in {
        "empty": changed(CELL_HEAD, 0),
        "empty-in-use": changed(CELL_HEAD, DATA_OFFSET),
        "unfinished-header": bytes(8) + bytes(good[8:]),
        "sealed-empty": changed(CELL_HEAD, 0, bytes(sealed)),
    }.items():
        folder.valid[name] = (data, None)
        folder.decode_only.add(name)
    folder.refuse("short", bytes(good[:255]), "fewer bytes than a header")
    folder.refuse("magic", b"XTRINGS\0" + bytes(good[8:]), "another magic")
    folder.refuse("version-newer", changed(CELL_VERSION, 3), "version 3", "UnsupportedVersion")
    folder.refuse("version-zero", changed(CELL_VERSION, 0), "version 0 never was")
    folder.refuse("head-beyond-end", changed(CELL_HEAD, len(good) + 1), "head beyond the file")
    folder.refuse("first-huge", changed(CELL_FIRST, 2**63), "sequence beyond 2**63 - 1")
    folder.refuse("run-id-long", changed(CELL_RUN_LENGTH, 65), "run id of 65 bytes")
    folder.refuse("run-id-cut", changed(CELL_RUN_LENGTH, 0), "run id of 0 bytes")
    folder.refuse("check", bytes(sealed[:32]) + b"?" * 300, "version 2 with neither header whole")
    return folder


FOLDERS = {"frames": frames, "control": control, "ring": ring}


def write(target: Path = VECTORS) -> None:
    """Replace the folders under `target`."""
    for name, make in FOLDERS.items():
        folder, made = target / name, make()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for case, (data, *_) in (made.valid | made.invalid).items():
            assert not (case in made.valid and case in made.invalid), case
            (folder / f"{case}.bin").write_bytes(data)
        meanings = {
            "valid": {case: meaning for case, (_, meaning) in made.valid.items()},
            "decode_only": sorted(made.decode_only),
            "invalid": {
                case: {"error": error, "why": why} for case, (_, error, why) in made.invalid.items()
            },
        }
        text = json.dumps(meanings, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "meanings.json").write_text(text + "\n")


if __name__ == "__main__":
    write()
