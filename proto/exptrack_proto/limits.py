"""Every bound of the format, in one place. Sizes are bytes unless the name says otherwise."""

KIB = 1024
MIB = 1024 * KIB

FORMAT_VERSION = 1
"""Version of frames, items and ring segments. A newer one is refused untouched (SPEC.md §1)."""

MAX_FRAME_BYTES = MIB
"""A frame on the wire, header included; also ZMQ's MAXMSGSIZE."""

MAX_ITEM_BYTES = MAX_FRAME_BYTES - 128
"""One packed item: what fits into a frame, however long the run id."""

FRAME_TARGET_BYTES = 256 * KIB
"""Rows are gathered into frames of about this size, so that one frame costs the courier well under 1 ms."""

MAX_ROW_BYTES = 512 * KIB
"""One packed row. The agent splits a wider mapping into several rows of the same step."""

MAX_CHUNK_BYTES = 512 * KIB
"""One piece of a media object's bytes."""

MAX_BLOB_BYTES = 64 * MIB
"""All pieces of one media object."""

MAX_ROWS_PER_FRAME = 65_536
MAX_METRICS_PER_ROW = 65_536
MAX_NAME_CHARS = 1_024
MAX_DEPTH = 4
"""Mappings within mappings in one row, the row's own included."""

MAX_JOINED_CHARS = 8 * MIB
"""All names of one frame's nested rows, after the names of mappings were joined: `a/b`."""

MAX_TEXT_CHARS = 256 * KIB
MAX_JSON_BYTES = 768 * KIB
"""A config, summary, hparams or table travels as one JSON text of at most this many characters."""

MAX_RUN_ID_CHARS = 64
STREAM_ID_BYTES = 16
MAX_SEQUENCE = 2**63 - 1

MIN_STEP = -(2**63)
MAX_STEP = 2**63 - 1
