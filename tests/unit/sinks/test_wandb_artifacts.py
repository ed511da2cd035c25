"""Files that belong to a run, as W&B is told of them (exptrack_daemon.sinks.wandb.artifacts)."""

from __future__ import annotations

from exptrack_daemon.sinks.wandb.artifacts import reference_of
from exptrack_proto.records import Artifact


def artifact(**given):
    usual = {"time_ns": 1, "step": 3, "name": "model", "type": "model", "path": "/data/m.pt"}
    return Artifact(**{**usual, "size_bytes": 5, **given})


def test_a_reference_says_where_the_file_is_and_what_is_known_of_it():
    found = reference_of(artifact(metadata='{"loss": 0.5, "step": 9}', sha256="a" * 64), "r1")
    assert (found.name, found.type, found.uri) == ("model-r1", "model", "file:///data/m.pt")
    about = {"step": 3, "path": "/data/m.pt", "size_bytes": 5, "sha256": "a" * 64}
    assert found.metadata == {"loss": 0.5, **about}


def test_names_and_types_are_ones_that_wandb_takes():
    found = reference_of(artifact(name="a/b:c" + "x" * 300, type="wandb-history"), "r" * 64)
    assert len(found.name) == 128
    assert found.name.startswith("a-b-cx")
    assert found.type == "user-wandb-history"


def test_an_address_stays_one_and_metadata_that_is_none_is_left_out():
    found = reference_of(artifact(path="s3://bucket/m.pt", metadata="[1]"), "r1")
    assert found.uri == "s3://bucket/m.pt"
    assert "loss" not in found.metadata
