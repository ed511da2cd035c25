"""One id for all ranks, and who a process is, without a process group. Real ones: tests/integration."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch.distributed as dist

from exptrack_agent.settings import Identity
from exptrack_agent.torch import distributed
from exptrack_agent.torch.distributed import common_run_id, init_distributed
from exptrack_agent.torch.ranks import is_distributed, is_main, rank_identity, world_size


@pytest.fixture(autouse=True)
def _first_call(monkeypatch: Any) -> None:
    monkeypatch.setattr(distributed, "_calls", 0)


def test_an_id_that_is_given_counts_before_all():
    given = {"EXPTRACK_RUN_ID": "mine", "TORCHELASTIC_RUN_ID": "theirs"}
    assert common_run_id(environ=given, store=dist.HashStore()) == "mine"


def test_all_ranks_come_to_the_id_of_whoever_is_first(monkeypatch: Any):
    store = dist.HashStore()
    ids = []
    for _ in range(4):
        monkeypatch.setattr(distributed, "_calls", 0)  # another process
        ids.append(common_run_id(environ={}, store=store))
    assert len(set(ids)) == 1


def test_the_second_run_of_a_process_is_another():
    store = dist.HashStore()
    assert common_run_id(environ={}, store=store) != common_run_id(environ={}, store=store)


def test_torchruns_id_serves_where_there_is_no_store():
    environ = {"TORCHELASTIC_RUN_ID": "../job 7"}
    assert common_run_id(environ=environ) == "job-7"
    assert common_run_id(environ=environ) == "job-7-1"


def test_none_is_no_id_and_each_rank_is_told(caplog: pytest.LogCaptureFixture):
    environ = {"TORCHELASTIC_RUN_ID": "none"}
    assert common_run_id(environ=environ) != common_run_id(environ=environ)
    assert "EXPTRACK_RUN_ID" in caplog.text


def test_a_store_that_is_away_is_no_fault_of_training(caplog: pytest.LogCaptureFixture):
    class Away:
        def compare_set(self, *_: str) -> bytes:
            raise ConnectionError("no route")

    assert common_run_id(environ={}, store=Away())
    assert "no route" in caplog.text


def test_a_launchers_environment_says_who_this_is():
    environ = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert rank_identity(environ) == Identity(3, 8, 1)
    assert rank_identity(
        {"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_LOCALID": "2"}
    ) == Identity(2, 4, 2)


def test_a_process_alone_is_rank_0():
    assert (is_distributed(), is_main(), world_size()) == (False, True, 1)


def test_without_ranks_it_is_a_plain_run(tmp_path: Any):
    with init_distributed(project="alone", home=tmp_path, mode="disabled") as run:
        assert run.project == "alone"
    assert "RANK" not in os.environ


def test_ranks_are_told_to_init_and_the_environment_is_as_before(tmp_path: Any, monkeypatch: Any):
    seen: list[Any] = []

    def init(**arguments: Any) -> None:
        seen.append((arguments, os.environ.get("RANK"), os.environ.get("WORLD_SIZE")))

    monkeypatch.setattr(distributed, "init", init)
    monkeypatch.setattr(distributed, "rank_identity", lambda: Identity(2, 4, 0))
    init_distributed(run_id="given", project="p")
    assert seen == [
        ({"run_id": "given", "project": "p", "resume": "allow", "name": "run-given"}, "2", "4")
    ]
    assert "RANK" not in os.environ
