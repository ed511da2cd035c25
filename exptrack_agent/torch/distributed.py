"""One run for all ranks, each with its own stream; nothing collective, at the start or while logging.

    run = init_distributed(project="llm", config={…})       on every rank

Ranks agree on an id by one exchange with the store that `torch.distributed` or torchrun keeps
anyway: whoever comes first writes its own, the others read it. Nobody waits for anybody, and a rank
that is late or dead stops no other. A rank that dies is closed as `crashed` by the daemon, which
sees it by its lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from exptrack_agent.notices import say_once
from exptrack_agent.run import Run
from exptrack_agent.settings import Identity, run_id_from
from exptrack_agent.start import init, new_run_id
from exptrack_agent.torch.ranks import is_distributed, is_main, rank_identity

__all__ = ["common_run_id", "init_distributed", "is_main", "rank_identity"]

_KEY = "exptrack/run_id"
_calls = 0


def init_distributed(*, timeout_s: float = 10.0, **arguments: Any) -> Run:
    """`exptrack_agent.init` on every rank, into one run.

    Args:
        timeout_s: how long to try to reach the store that ranks agree by.
        **arguments: those of `init`; the same on all ranks. What rank 0 says counts.

    Returns:
        This rank's part of the run. Metrics of all ranks are kept apart by rank.

    Raises:
        Misuse: as `init`.
    """
    who = rank_identity()
    if arguments.get("run_id") is None and who.world_size > 1:
        arguments["run_id"] = common_run_id(timeout_s=timeout_s)
    if who.world_size > 1:
        arguments.setdefault("resume", "allow")  # whoever comes second finds the run there
        arguments.setdefault("name", f"run-{arguments['run_id'][:24]}")
    with _told_as_environment(who):
        return init(**arguments)


def common_run_id(
    *, timeout_s: float = 10.0, environ: Mapping[str, str] = os.environ, store: Any = None
) -> str:
    """An id that all ranks of this job come to: given, torchrun's, or agreed on by a store.

    Order: EXPTRACK_RUN_ID; the store of `torch.distributed` or of torchrun (it outlives workers that are
    started again, so their run goes on); `--rdzv-id` of torchrun. Without any, an id of this rank's own,
    and a word.
    """
    given = run_id_from(environ)
    if given is not None:
        return given
    number = _count_call()
    try:
        store = store if store is not None else _store(environ, timeout_s)
        if store is not None:
            return _agree(store, f"{_KEY}/{number}", new_run_id())
        why = "there is no store to agree by; call it after init_process_group()"
    except Exception as error:  # noqa: BLE001  # a store that is away must not end training
        why = f"the store could not be asked: {error!r:.200}"
    elastic = _elastic_id(environ, number)
    if elastic is not None:
        return elastic
    say_once("run id", f"each rank gets a run of its own, since {why} (or set EXPTRACK_RUN_ID)")
    return new_run_id()


# --- inside ---------------------------------------------------------------------------------------


def _count_call() -> int:
    global _calls  # noqa: PLW0603  # the n-th run of each process is one run
    _calls += 1
    return _calls - 1


def _elastic_id(environ: Mapping[str, str], number: int) -> str | None:
    """The id that was given to torchrun; "none" is what it says when none was."""
    found = environ.get("TORCHELASTIC_RUN_ID", "")
    text = re.sub(r"[^A-Za-z0-9._-]", "-", found).lstrip(".-")[:56]
    if not text or found == "none":
        return None
    return f"{text}-{number}" if number else text


def _agree(store: Any, key: str, own: str) -> str:
    """The id that came first: an atomic exchange, and no wait for anyone."""
    return bytes(store.compare_set(key, "", own)).decode()


def _store(environ: Mapping[str, str], timeout_s: float) -> Any:
    """The store of the process group, else torchrun's own (None: neither)."""
    if is_distributed():
        find = getattr(dist.distributed_c10d, "_get_default_store", None)
        return find() if find is not None else None
    if environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    return dist.TCPStore(
        environ["MASTER_ADDR"],
        int(environ["MASTER_PORT"]),
        is_master=False,
        timeout=timedelta(seconds=timeout_s),
    )


@contextmanager
def _told_as_environment(who: Identity) -> Iterator[None]:
    """`init` reads ranks from the environment; a process group made without one is told there meanwhile."""
    told = {"RANK": who.rank, "WORLD_SIZE": who.world_size, "LOCAL_RANK": who.local_rank}
    before = {name: os.environ.get(name) for name in told}
    if who.world_size > 1:
        os.environ.update({name: str(value) for name, value in told.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
