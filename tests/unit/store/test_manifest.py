from __future__ import annotations

import json

import pytest

from exptrack_daemon.journal.entries import Stream
from exptrack_daemon.journal.position import Position
from exptrack_daemon.store.manifest import Manifest, ManifestNewer
from exptrack_daemon.store.pieces import PartName


def test_a_manifest_comes_back_from_json() -> None:
    stream = Stream("aa" * 16, 1, 2, 3, "trainer", "host", 4, 5)
    manifest = Manifest(
        (PartName(0, 10, 1), PartName(10, 12, 0)), Position(2, 3, 4, 5), 6, (stream,),
        frozenset({"aa" * 16}), 7,
    )  # fmt: skip
    assert Manifest.load(json.loads(json.dumps(manifest.dump()))) == manifest
    assert manifest.points == 12
    assert Manifest().points == 0


def test_a_newer_one_is_refused() -> None:
    with pytest.raises(ManifestNewer):
        Manifest.load(Manifest().dump() | {"version": 2})
