"""`init`: from arguments and environment to a running `Run`; and what happens at fork and at exit."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from exptrack_agent import courier, notices, preemption
from exptrack_agent.blackbox import BlackBox, Places, make_private_folder
from exptrack_agent.courier import courier_for
from exptrack_agent.errors import Misuse, RunNotFound
from exptrack_agent.exits import exit_code_of, exits
from exptrack_agent.jsontext import json_text
from exptrack_agent.notices import say_once
from exptrack_agent.redact import Redactor
from exptrack_agent.run import Opening, Run
from exptrack_agent.settings import (
    BoxLimits,
    Identity,
    Resume,
    home_path,
    host_name,
    identity,
    mode_of,
    redact_of,
    remote_of,
    resume_of,
    ring_root,
    run_id_from,
)
from exptrack_agent.values import clean_text, cut_text, shown
from exptrack_agent.version import __version__
from exptrack_proto.frame import RUN_ID
from exptrack_proto.limits import KIB, MAX_NAME_CHARS, STREAM_ID_BYTES

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_EXIT_FLUSH_S = 2.0
_IMPORT_S = 5.0

# What an `open` may hold: together it has to fit into one frame of 1 MiB.
_CONFIG_BYTES = 512 * KIB
_SINK_OPTIONS_BYTES = 128 * KIB
_NOTES_BYTES = 128 * KIB
_TAGS_BYTES = 64 * KIB
_MOST_TAGS = 256
_MOST_SINKS = 32

_live: weakref.WeakSet[Run] = weakref.WeakSet()


def init(  # noqa: PLR0913  # the public contract: what a user may say about a run
    project: str = "default",
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Iterable[str] = (),
    notes: str = "",
    run_id: str | None = None,
    resume: str | bool = "never",
    mode: str | None = None,
    home: str | os.PathLike[str] | None = None,
    sinks: Iterable[str] | None = None,
    sink_options: Mapping[str, Mapping[str, Any]] | None = None,
    autostart: bool = True,
    strict: bool = False,
    redact: bool | Iterable[str] | None = None,
) -> Run:
    """Begin a run. Needs no daemon, network or login: what is logged is safe at once, and sent later.

    Args:
        project: what the run belongs to.
        name: what people see; made up when not given.
        config: hyperparameters: a mapping (nested if you like), or anything with `__dict__` such as an
            argparse namespace or a dataclass.
        group: name that runs of one experiment share.
        job_type: such as "train" or "eval".
        tags: short labels to filter by.
        notes: free text.
        run_id: identity of the run, 1 to 64 of `A-Z a-z 0-9 . _ -`; else EXPTRACK_RUN_ID, else made up.
        resume: what to do when a run of this id exists: "never" (refuse), "allow" (go on with it, as a
            new attempt), "must" (it has to exist). EXPTRACK_RUN_ID means "allow" unless you say otherwise.
        mode: "online"; "offline" (rows go to the spool on disk, for a later `exptrack recover`);
            "disabled" (nothing is recorded). Else EXPTRACK_MODE, else "online".
        home: the home folder; else EXPTRACK_HOME, else ~/.exptrack.
        sinks: such as `("tensorboard", "wandb")`; else the daemon's default.
        sink_options: by sink, what this run asks of it, such as
            `{"tensorboard": {"names": {"train/loss": "Loss/Train"}}, "wandb": {"entity": "team"}}`.
        autostart: start a daemon when none is running, and again if it dies.
        strict: raise `Misuse` for an argument of `log()` that cannot be taken, instead of saying it once.
        redact: whether secrets are taken out of config, notes, texts and command line before they are
            recorded; or further names of keys that are secret. Else EXPTRACK_REDACT, else True.

    Raises:
        Misuse: an argument that can have no meaning, or `run_id` exists (in the home, or as an open run of
            this process) and `resume` is "never".
        RunNotFound: `resume="must"` and there is no such run.
    """
    chosen_mode = mode_of(mode)
    chosen_home = home_path(home)
    joined = run_id is None and run_id_from() is not None
    chosen_id = run_id or run_id_from() or new_run_id()
    policy = resume_of(resume if resume != "never" or not joined else "allow")
    remote = remote_of(chosen_home) if chosen_mode == "online" else None
    who = identity()
    resumed = _check_id(chosen_id, policy, chosen_home) and who.rank == 0
    settings = _config_of(config)
    opening = Opening(
        run_id=chosen_id,
        name=_text(name, "name") or _default_name(chosen_id),
        project=_text(project, "project") or "default",
        home=chosen_home,
        mode=chosen_mode,
        strict=strict,
        record={},
        config=settings,
        redactor=_redactor(redact),
    )
    if chosen_mode == "disabled":
        return Run(opening, None, "{}")
    opening.record.update(_identity_record(opening, who, resumed=resumed))
    opening.record.update(
        group=_text(group, "group"),
        job_type=_text(job_type, "job_type"),
        tags=_names(tags, "tags", _MOST_TAGS),
        notes=_cut(clean_text(str(notes)), _NOTES_BYTES, "notes"),
        sinks=None if sinks is None else _names(sinks, "sinks", _MOST_SINKS),
        sink_options=json_text(
            _mapping(sink_options, "sink_options"), "sink_options", _SINK_OPTIONS_BYTES
        ),
    )
    try:
        box = _black_box(chosen_home, chosen_id)
    except (OSError, MemoryError) as error:  # not even memory, or no descriptor left
        say_once("no box", f"run {opening.name} is not recorded: {error}")
        return Run(opening, None, "{}")
    run = Run(opening, box, json_text(settings, "config", _CONFIG_BYTES))
    _live.add(run)
    exits.join(run)
    try:
        courier = courier_for(chosen_home)
        courier.remote = remote
        run.send_through(courier)
    except RuntimeError as error:  # no thread to be had
        say_once("thread", f"nothing is sent ({error}); rows are kept for `exptrack recover`")
    else:
        if chosen_mode == "online" and autostart and remote is None:
            courier.keep_daemon()
    _finish_with_the_worker()
    return run


def new_run_id() -> str:
    """Ten random characters: short enough to type, too many to meet twice."""
    number = int.from_bytes(os.urandom(8), "little")
    return "".join(_ALPHABET[number // 36**place % 36] for place in range(10))


def _default_name(run_id: str) -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{run_id[:4]}"


def _check_id(run_id: object, policy: Resume, home: Path) -> bool:
    """Whether the run exists already, as the policy allows."""
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        raise Misuse(
            f"run_id {shown(run_id)} is not 1 to 64 of A-Z a-z 0-9 . _ - (no . or - first)"
        )
    exists = _exists(home / "runs" / run_id)
    if policy == "never" and any(
        (run.id, run.home) == (run_id, home) and not run.is_finished for run in list(_live)
    ):
        raise Misuse(f'run {run_id} is open in this process; say resume="allow" to join it')
    if exists and policy == "never":
        raise Misuse(f'run {run_id} exists in {home}; say resume="allow" to go on with it')
    if not exists and policy == "must":
        raise RunNotFound(f'there is no run {run_id} in {home}, and resume="must" wants one')
    return exists


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a home that cannot be entered: the daemon will say so
        return False


def _redactor(redact: bool | Iterable[str] | None) -> Redactor | None:
    """What takes secrets out; None when that is not wanted."""
    wanted = redact_of(redact if redact is None or isinstance(redact, bool) else tuple(redact))
    if wanted is False:
        return None
    return Redactor(() if wanted is True else wanted)


def _config_of(config: Any) -> dict[str, Any]:
    if config is None or isinstance(config, Mapping):
        return _mapping(config, "config")
    slots = getattr(type(config), "__dataclass_fields__", ())
    try:
        return {name: getattr(config, name) for name in slots} or dict(vars(config))
    except (TypeError, AttributeError):
        raise Misuse(f"config is a mapping of names to values, not {shown(config)}") from None


def _mapping(given: Mapping[str, Any] | None, what: str) -> dict[str, Any]:
    if given is None:
        return {}
    try:
        return dict(given)
    except Exception as error:
        raise Misuse(f"{what} is a mapping of names to values, not {shown(given)}") from error


def _cut(text: str, most_bytes: int, what: str) -> str:
    kept = cut_text(text, most_bytes)
    if len(kept) < len(text):
        say_once(
            f"{what} length",
            f"the {what} have more than {most_bytes:,} bytes; the first ones count",
        )
    return kept


def _text(value: str | None, what: str) -> str | None:
    if value is None:
        return None
    text = clean_text(str(value))
    if len(text) > MAX_NAME_CHARS:
        say_once(
            f"{what} length",
            f"the {what} has {len(text)} characters; the first {MAX_NAME_CHARS} count",
        )
    return text[:MAX_NAME_CHARS]


def _names(values: Iterable[str] | None, what: str, most: int) -> list[str]:
    if values is None:
        return []
    if isinstance(values, str):
        values = [values]
    try:
        names = [text for value in values if (text := _text(value, what))]
    except TypeError:
        raise Misuse(f"{what} are several texts, not {shown(values)}") from None
    kept: list[str] = []
    room = _TAGS_BYTES
    for name in names[:most]:
        room -= len(name.encode())
        if room >= 0:
            kept.append(name)
    if len(kept) < len(names):
        say_once(f"{what} number", f"{len(names)} {what} are too many; the first {len(kept)} count")
    return kept


def _identity_record(opening: Opening, who: Identity, *, resumed: bool) -> dict[str, Any]:
    return {
        "kind": "open",
        "time_ns": time.time_ns(),
        "project": opening.project,
        "name": opening.name,
        "resumed": resumed,
        "rank": who.rank,
        "world_size": who.world_size,
        "pid": os.getpid(),
        "host": clean_text(host_name())[:MAX_NAME_CHARS],
        "program": clean_text(sys.argv[0] if sys.argv else "")[:4_096],
        "python": sys.version.split(" ", 1)[0],
        "agent": __version__,
    }


def _black_box(home: Path, run_id: str) -> BlackBox:
    """In shared memory; else on the home's disk, or in this process's memory; says which."""
    stream = os.urandom(STREAM_ID_BYTES)
    name = stream.hex()
    why = ""
    try:
        make_private_folder(home)
    except OSError as error:
        why = f": {error.strerror or error}"
    rings = (ring_root(home) / name, home / "rings" / name, None)
    for ring in rings:
        places = Places(ring, home / "spool" / name)
        try:
            if ring is rings[0]:
                _private(ring.parent.parent)
            box = BlackBox(run_id, stream, places, BoxLimits())
        except OSError as error:
            if ring is rings[0]:
                say_once("shared memory", _no_shared_memory(error.strerror or str(error)))
            continue
        if ring is not None and places.ring is None:
            if ring is rings[0]:
                say_once("shared memory", _no_shared_memory(places.refused["ring"]))
            box.close(keep=False)
            continue
        if ring is None:
            say_once("ring", _NO_RING)
        if places.spool is None:
            why = why or f": {places.refused['spool']}"
            say_once(
                f"spool {home}",
                f"{home} cannot be written{why}, so rows are kept in memory only until a daemon takes"
                " them; make it writable or choose another with EXPTRACK_HOME",
            )
        return box
    raise MemoryError("there is no memory for the 2 MiB of a black box")


def _no_shared_memory(why: str) -> str:
    return (
        f"shared memory (/dev/shm) cannot be used ({why}), so the black box is on the"
        " home's disk; in a container give it more, such as --shm-size=1g"
    )


_NO_RING = (
    "neither shared memory nor the home has room for the black box: rows are kept in this process's"
    " memory, and a kill loses those that no daemon has taken yet"
)


def _private(folder: Path) -> None:
    """A folder below a shared one, that must be ours alone."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if (
        found.st_uid != os.getuid()
        or found.st_mode & 0o077
        or not folder.is_dir()
        or folder.is_symlink()
    ):
        raise OSError(0, f"{folder} is not private")


# --- fork and exit --------------------------------------------------------------------------------


def _before_fork() -> None:
    """A module that the courier is just importing would stay half a module in the child."""
    _held.append(notices.importing.acquire(timeout=_IMPORT_S))


def _after_fork_in_parent() -> None:
    if _held.pop():
        notices.importing.release()


_held: list[bool] = []


def _after_fork_in_child() -> None:
    """A forked child (a DataLoader worker) is silent until it calls `init` itself."""
    _held.clear()
    notices.importing = threading.RLock()
    courier.after_fork_in_child()
    exits.reset_after_fork()
    preemption.forget_all()
    for run in list(_live):
        run.silence()
    _live.clear()


def _at_exit() -> None:
    """Exit without `finish`: the rows are safe anyway; this only spares the daemon the recovery."""
    _finish_all(_code_at_exit())


def _code_at_exit() -> int:
    if hasattr(sys, "ps1"):
        return 0  # a session that somebody ended, whatever went wrong in it
    if hasattr(sys, "last_type"):
        return exit_code_of(getattr(sys, "last_value", None)) or 1
    return exits.code_at_exit()


def _finish_all(exit_code: int) -> None:
    for run in list(_live):
        run.finish(exit_code=exit_code, timeout_s=_EXIT_FLUSH_S)


def _finish_with_the_worker() -> None:
    """A process of `multiprocessing` ends without `atexit`, but not without its own finalizers."""
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None:
        return
    from multiprocessing.util import Finalize

    Finalize(None, _at_end_of_worker, exitpriority=0)


def _at_end_of_worker() -> None:
    _finish_all(exit_code_of(sys.exception()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
atexit.register(_at_exit)
