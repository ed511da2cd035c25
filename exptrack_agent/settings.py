"""Every setting of the agent, checked, and the one place that reads the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, cast

from exptrack_agent.errors import Misuse
from exptrack_agent.values import shown

Mode = Literal["online", "offline", "disabled"]
Resume = Literal["never", "allow", "must"]

MIB = 1024 * 1024


class BoxLimits(NamedTuple):
    """Bounds of one run's black box."""

    segment_bytes: int = 2 * MIB
    """One segment in shared memory; 1 MiB to 2 MiB: every item fits, and a head can say its place."""
    segments: int = 4
    """Segments kept in shared memory; beyond them rows go to the spool on disk."""
    burst_segments: int = 32
    """Segments that may exist for a moment when much comes at once (a large image)."""
    spool_bytes: int = 4096 * MIB
    """Most that one run may leave on disk while no daemon takes it; then rows are dropped, and counted."""
    keep_free_bytes: int = 256 * MIB
    """Spooling stops when the disk has less than this left."""


class Identity(NamedTuple):
    """Which process of a distributed job this is."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0


def home_path(home: str | os.PathLike[str] | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The home folder: the argument, else EXPTRACK_HOME, else ~/.exptrack; links resolved.

    Raises:
        Misuse: that is no path, or there is no home directory to put it in.
    """
    try:
        chosen = os.fspath(home) if home is not None else environ.get("EXPTRACK_HOME")
        return Path(chosen or "~/.exptrack").expanduser().resolve()
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        raise Misuse(
            f"the home folder cannot be {shown(home)}: {error}; set EXPTRACK_HOME"
        ) from error


def mode_of(mode: str | None, environ: Mapping[str, str] = os.environ) -> Mode:
    """The mode: the argument, else EXPTRACK_MODE, else "online".

    Raises:
        Misuse: it is none of the three.
    """
    chosen = mode or environ.get("EXPTRACK_MODE") or "online"
    if chosen not in ("online", "offline", "disabled"):
        raise Misuse(f'mode is "online", "offline" or "disabled", not {chosen!r}')
    return cast("Mode", chosen)


def resume_of(resume: str | bool) -> Resume:
    """The resume policy, checked.

    Raises:
        Misuse: it is none of the three.
    """
    chosen = {True: "allow", False: "never"}[resume] if isinstance(resume, bool) else resume
    if chosen not in ("never", "allow", "must"):
        raise Misuse(f'resume is "never", "allow" or "must", not {resume!r}')
    return cast("Resume", chosen)


class Remote(NamedTuple):
    """A daemon on another machine, and the keys to it."""

    frames: str
    control: str
    server: str
    """The daemon's public key."""
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"Remote({self.frames})"


def remote_of(home: Path, environ: Mapping[str, str] = os.environ) -> Remote | None:
    """EXPTRACK_ENDPOINT and EXPTRACK_SERVER_KEY, with this home's own keys; None: the daemon is here.

    Raises:
        Misuse: a part of it is missing or cannot be; nothing is ever sent without keys.
    """
    endpoint = environ.get("EXPTRACK_ENDPOINT", "")
    if not endpoint:
        return None
    address, _, port = endpoint.rpartition(":")
    if not endpoint.startswith("tcp://") or not port.isdecimal() or not 0 < int(port[:6]) < 65_535:
        raise Misuse(f"EXPTRACK_ENDPOINT is tcp://ADDRESS:PORT, not {shown(endpoint)}")
    server = environ.get("EXPTRACK_SERVER_KEY", "")
    if len(server) != 40:
        raise Misuse(
            "EXPTRACK_SERVER_KEY is the daemon's public key: `exptrack keys list` shows it there"
        )
    path = home / "keys" / "key.json"
    try:
        own = json.loads(path.read_bytes())
        public, secret = str(own["public"]), str(own["secret"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Misuse(f"{path} holds no keys: `exptrack keys new` makes them") from error
    return Remote(endpoint, f"{address}:{int(port) + 1}", server, public, secret)


def redact_of(
    redact: bool | tuple[str, ...] | None, environ: Mapping[str, str] = os.environ
) -> bool | tuple[str, ...]:
    """Whether secrets are taken out, or which further keys name one: the argument, else EXPTRACK_REDACT.

    The variable is `0` (nothing is taken out), `1`, or names of keys with commas between them.
    """
    if redact is not None:
        return redact
    chosen = environ.get("EXPTRACK_REDACT", "").strip()
    if chosen.lower() in ("", "1", "true", "0", "false"):
        return chosen.lower() not in ("0", "false")
    return tuple(name.strip() for name in chosen.split(",") if name.strip())


_RANKS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)


def identity(environ: Mapping[str, str] = os.environ) -> Identity:
    """Rank and world size as torchrun, MPI or SLURM set them; read at `init`, never at import."""
    for rank, world, local in _RANKS:
        if environ.get(rank, "").isdigit() and environ.get(world, "").isdigit():
            local_rank = environ.get(local, "")
            size = max(1, int(environ[world]))
            own = int(environ[rank])
            return Identity(own, max(size, own + 1), int(local_rank) if local_rank.isdigit() else 0)
    return Identity()


def run_id_from(environ: Mapping[str, str] = os.environ) -> str | None:
    """EXPTRACK_RUN_ID: the run that all ranks, or a requeued job, join."""
    return environ.get("EXPTRACK_RUN_ID") or None


def ring_root(home: Path) -> Path:
    """Where rings stand in shared memory; the daemon derives the same path from the home alone."""
    import hashlib  # here, since it loads OpenSSL, which importing the agent should not

    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(f"/dev/shm/exptrack-{os.getuid()}") / digest


def host_name() -> str:
    """This machine's name, as it calls itself."""
    return os.uname().nodename
