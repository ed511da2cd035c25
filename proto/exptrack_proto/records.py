"""The items of a stream, typed: rows, events, open and close; the daemon's half of the format.

A row is the msgpack array `[step, time_ns, {name: value}]`. Every other item is a msgpack map with
the string field `kind`. Unknown fields and kinds are refused: whoever adds one raises the format
version.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from exptrack_proto.limits import (
    MAX_CHUNK_BYTES,
    MAX_JSON_BYTES,
    MAX_METRICS_PER_ROW,
    MAX_NAME_CHARS,
    MAX_STEP,
    MAX_TEXT_CHARS,
    MIN_STEP,
)

Name = Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]
Json = Annotated[str, Meta(max_length=MAX_JSON_BYTES)]
"""A JSON text; travels opaque, so that its depth costs the intake nothing."""
Step = Annotated[int, Meta(ge=MIN_STEP, le=MAX_STEP)]
TimeNs = Annotated[int, Meta(ge=0, le=MAX_STEP)]
Count = Annotated[int, Meta(ge=0, le=MAX_STEP)]

PREEMPTED_CODES = frozenset({-10, -12, -15, -24})
"""Exit codes of a trainer that obeyed SIGUSR1, SIGUSR2, SIGTERM or SIGXCPU (Linux's numbers)."""

Scalar: TypeAlias = float | int | bool | str | None
_Level4: TypeAlias = dict[Name, Scalar]
_Level3: TypeAlias = dict[Name, Scalar | _Level4]
_Level2: TypeAlias = dict[Name, Scalar | _Level3]
Nested: TypeAlias = Annotated[dict[Name, Scalar | _Level2], Meta(max_length=MAX_METRICS_PER_ROW)]


class Row(Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """One `log()` call: step, Unix time in ns, and values by metric name."""

    step: Step
    time_ns: TimeNs
    values: Annotated[dict[Name, Scalar], Meta(max_length=MAX_METRICS_PER_ROW)]


class NestedRow(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A row as the wire allows it: mappings up to 4 deep. `codec.flatten` makes it a `Row`."""

    step: Step
    time_ns: TimeNs
    values: Nested


class _Item(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """What all items but rows share: a map with its kind."""


class Open(_Item, frozen=True, tag="open"):
    """The first item of every stream: who is writing, and what the run is."""

    time_ns: TimeNs
    project: Name
    name: Name
    group: Name | None = None
    job_type: Name | None = None
    tags: Annotated[list[Name], Meta(max_length=256)] = []
    notes: Text = ""
    config: Json = "{}"
    sinks: Annotated[list[Name], Meta(max_length=32)] | None = None
    """Sinks the run asked for; None: the daemon's default."""
    sink_options: Json = "{}"
    """By sink, what the run asks of it: an object such as `{"tensorboard": {"names": {…}}}`."""
    resumed: bool = False
    rank: Annotated[int, Meta(ge=0, le=1 << 24)] = 0
    world_size: Annotated[int, Meta(ge=1, le=1 << 24)] = 1
    pid: Annotated[int, Meta(ge=0, le=1 << 32)] = 0
    host: Name = ""
    program: Text = ""
    """The command's name as started (`sys.argv[0]`), never its arguments: those may hold secrets."""
    python: Name = ""
    agent: Name = ""
    role: Literal["trainer", "sampler"] = "trainer"


class Close(_Item, frozen=True, tag="close"):
    """The last item of a stream. `crashed` is written by the daemon for a trainer that died."""

    time_ns: TimeNs
    status: Literal["finished", "failed", "crashed"]
    exit_code: Annotated[int, Meta(ge=-(2**31), le=2**31)] | None = None

    @property
    def outcome(self) -> Literal["finished", "failed", "crashed", "preempted"]:
        """The status, or `preempted`: `failed` with a code that says which signal was obeyed.

        A reader that does not know of it sees a failed run.
        """
        is_preempted = self.status == "failed" and self.exit_code in PREEMPTED_CODES
        return "preempted" if is_preempted else self.status


class Chunk(_Item, frozen=True, tag="chunk"):
    """A piece of the bytes of the media item that follows in the same stream."""

    data: Annotated[bytes, Meta(max_length=MAX_CHUNK_BYTES)]


class _Media(_Item, frozen=True):
    name: Name
    step: Step
    time_ns: TimeNs


class Array(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Raw numbers, little-endian, C order. `chunks` > 0: the bytes stand in that many chunks."""

    dtype: Literal["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "b1"]
    shape: Annotated[list[Annotated[int, Meta(ge=0, le=1 << 40)]], Meta(max_length=8)]
    chunks: Annotated[int, Meta(ge=0, le=256)] = 0
    data: Annotated[bytes, Meta(max_length=MAX_CHUNK_BYTES)] = b""


class Image(_Media, frozen=True, tag="image"):
    """One image: `[height, width]` or `[height, width, 1, 3 or 4]`; u1 is 0…255, floats 0…1.

    Or, with `format` "png", a one-dimensional u1 array that holds an encoded PNG file.
    """

    pixels: Array
    format: Literal["raw", "png"] = "raw"
    caption: Text = ""
    figure: bool = False
    """The picture of a plot (a matplotlib figure drawn to RGBA)."""


class Histogram(_Media, frozen=True, tag="histogram"):
    """Either `values` (any shape; the daemon bins them), or `counts` [n] and `edges` [n + 1]."""

    values: Array | None = None
    counts: Array | None = None
    edges: Array | None = None


class TextItem(_Media, frozen=True, tag="text"):
    """A text at a step; Markdown where the backend shows it."""

    text: Text


class Table(_Media, frozen=True, tag="table"):
    """Columns and rows; `rows` is a JSON text: an array of arrays of JSON scalars."""

    columns: Annotated[list[Name], Meta(max_length=1_024)]
    rows: Json


class Hparams(_Item, frozen=True, tag="hparams"):
    """Hyperparameters and, optionally, the metrics they led to: two flat JSON objects."""

    time_ns: TimeNs
    hparams: Json
    metrics: Json = "{}"


class Graph(_Item, frozen=True, tag="graph"):
    """A model's graph for TensorBoard's graph page.

    Either a serialized TensorFlow `GraphDef`, or `nodes`: a JSON array of objects with `name` (scopes
    joined by `/`), `op`, `inputs` (names) and `shape` (of the output, or null), in order of execution.
    """

    time_ns: TimeNs
    graph: Array | None = None
    nodes: Json = "[]"


class Artifact(_Item, frozen=True, tag="artifact"):
    """A file that belongs to the run, such as a checkpoint. Its bytes stay where they are."""

    time_ns: TimeNs
    step: Step
    name: Name
    type: Name
    path: Text
    size_bytes: Count
    sha256: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    metadata: Json = "{}"


class Note(_Item, frozen=True, tag="note"):
    """Something that the user wants to remember of the run."""

    time_ns: TimeNs
    text: Text


class ConfigUpdate(_Item, frozen=True, tag="config"):
    """Config keys set after the start: a JSON object, merged over what is known."""

    time_ns: TimeNs
    config: Json


class Summary(_Item, frozen=True, tag="summary"):
    """Summary values set by the user: a JSON object, merged over what is known."""

    time_ns: TimeNs
    values: Json


class Alert(_Item, frozen=True, tag="alert"):
    """Something a person should see."""

    time_ns: TimeNs
    title: Name
    text: Text = ""
    level: Literal["info", "warning", "error"] = "info"


class Loss(_Item, frozen=True, tag="loss"):
    """A ledger entry: the sequences `first … last` of this stream were dropped, and why.

    When written by the agent, the item's own sequence is `last + 1`. The daemon writes one, with
    the sequence `last`, for items that it had to refuse: then the item stands in their place.
    """

    time_ns: TimeNs
    first: Count
    last: Count
    reason: Name

    @property
    def items(self) -> int:
        """How many items were lost."""
        return self.last - self.first + 1


Media: TypeAlias = Image | Histogram | TextItem | Table
Event: TypeAlias = (
    Chunk
    | Image
    | Histogram
    | TextItem
    | Table
    | Hparams
    | Graph
    | Artifact
    | Note
    | ConfigUpdate
    | Summary
    | Alert
    | Loss
)
Item: TypeAlias = Open | Close | Event


def to_msgpack(item: Item) -> bytes:
    """Pack one item as the wire holds it."""
    return msgspec.msgpack.encode(item)
