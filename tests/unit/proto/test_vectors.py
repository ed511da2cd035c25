"""The golden bytes of the wire format, in both directions."""

from __future__ import annotations

import json

import msgspec
import pytest

from exptrack_proto import errors
from exptrack_proto.codec import decode, encode_item, encode_rows
from exptrack_proto.control import Ack, Hello, Stop, decode_control, encode_control
from exptrack_proto.errors import ProtocolError
from exptrack_proto.frame import parse
from exptrack_proto.records import Item, Row
from exptrack_proto.ring_reader import read_segment
from tests.support.make_vectors import (
    FOLDERS,
    VECTORS,
    meaning_of,
    revived,
    segment_meaning,
    write,
)

MEANINGS = {name: json.loads((VECTORS / name / "meanings.json").read_text()) for name in FOLDERS}


def bytes_of(folder: str, case: str) -> bytes:
    return (VECTORS / folder / f"{case}.bin").read_bytes()


def valid(folder: str) -> list[str]:
    return list(MEANINGS[folder]["valid"])


def canonical(folder: str) -> list[str]:
    return [case for case in valid(folder) if case not in MEANINGS[folder]["decode_only"]]


INVALID = [
    (folder, case, fault["error"])
    for folder, meanings in MEANINGS.items()
    for case, fault in meanings["invalid"].items()
]


def take_whole(folder: str, data: bytes) -> object:
    """Read everything that there is in the bytes."""
    if folder == "frames":
        return decode(parse(data))
    return decode_control(data) if folder == "control" else read_segment(data)


def test_every_file_has_its_meaning_and_the_other_way_round():
    for folder, meanings in MEANINGS.items():
        files = {path.stem for path in (VECTORS / folder).glob("*.bin")}
        assert files == meanings["valid"].keys() | meanings["invalid"].keys()


def test_the_vectors_are_what_the_command_writes(tmp_path):
    write(tmp_path)
    for folder in FOLDERS:
        made = {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        assert made == {path.name: path.read_bytes() for path in (VECTORS / folder).iterdir()}


@pytest.mark.parametrize("case", valid("frames"))
def test_a_frame_decodes_to_its_meaning(case):
    assert meaning_of(parse(bytes_of("frames", case))) == MEANINGS["frames"]["valid"][case]


@pytest.mark.parametrize("case", canonical("frames"))
def test_a_meaning_encodes_to_its_frame(case):
    meaning = MEANINGS["frames"]["valid"][case]
    body, first = revived(meaning["body"]), meaning["first"]
    stream = bytes.fromhex(meaning["stream"])
    if meaning["kind"] == "rows":
        made = encode_rows(meaning["run_id"], stream, first, [Row(*row) for row in body])
    else:
        item = msgspec.convert(body, Item, builtin_types=(bytes,))
        made = encode_item(meaning["run_id"], stream, first, item)
    assert made == bytes_of("frames", case)


@pytest.mark.parametrize("case", valid("control"))
def test_a_control_message_means_what_it_says_and_back(case):
    meaning = revived(MEANINGS["control"]["valid"][case])
    kind = {"hello": Hello, "ack": Ack, "stop": Stop}[meaning.pop("kind")]
    message = kind(**meaning)
    assert decode_control(bytes_of("control", case)) == message
    assert encode_control(message) == bytes_of("control", case)


@pytest.mark.parametrize("case", valid("ring"))
def test_a_ring_segment_holds_what_its_meaning_says(case):
    segment = read_segment(bytes_of("ring", case))
    assert segment_meaning(segment) == MEANINGS["ring"]["valid"][case]


@pytest.mark.parametrize(("folder", "case", "error"), INVALID)
def test_invalid_bytes_are_refused_with_their_error(folder, case, error):
    with pytest.raises(ProtocolError) as caught:
        take_whole(folder, bytes_of(folder, case))
    assert type(caught.value) is getattr(errors, error)
    assert str(caught.value)
