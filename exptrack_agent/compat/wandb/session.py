"""`wandb.init` and the run of the moment."""

from __future__ import annotations

import atexit
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from exptrack_agent.compat.wandb.environment import from_environment, from_settings, mode_here
from exptrack_agent.compat.wandb.errors import Error
from exptrack_agent.compat.wandb.mappings import as_mapping
from exptrack_agent.compat.wandb.resumed import next_step
from exptrack_agent.compat.wandb.runs import About, Run
from exptrack_agent.notices import say_once
from exptrack_agent.settings import home_path
from exptrack_agent.start import init as begin
from exptrack_proto.frame import RUN_ID

current: Run | None = None
"""What `wandb.run` is."""

_DEFAULT_PROJECT = "uncategorized"
_OWN = ("home", "sinks", "sink_options", "autostart", "strict")
"""Arguments of exptrack's own `init` that may be given too."""
_RESUME = {"allow": "allow", "auto": "allow", "must": "must", "never": "never"}
_MEANINGLESS = frozenset(
    {
        *("dir", "save_code", "force", "anonymous", "magic", "sync_tensorboard", "monitor_gym"),
        *("resume_from", "fork_from", "tensorboard", "id_suffix"),
    }
)


def init(  # noqa: PLR0913  # the arguments of the original, in its order
    entity: str | None = None,
    project: str | None = None,
    dir: str | Path | None = None,  # noqa: A002  # W&B's name
    id: str | None = None,  # noqa: A002  # W&B's name
    name: str | None = None,
    notes: str | None = None,
    tags: Iterable[str] | None = None,
    config: Any = None,
    config_exclude_keys: Iterable[str] | None = None,
    config_include_keys: Iterable[str] | None = None,
    allow_val_change: bool | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    force: bool | None = None,
    reinit: bool | str | None = None,
    resume: bool | str | None = None,
    settings: Any = None,
    **others: Any,
) -> Run:
    """Begin a run. Arguments win over `settings`, and these over WANDB_… in the environment.

    Args:
        entity: W&B's team, for the W&B sink.
        project: what the run belongs to.
        dir: not needed.
        id: identity of the run.
        name: what people see.
        notes: free text.
        tags: short labels.
        config: a mapping, argparse namespace, dataclass, or the name of a YAML or JSON file.
        config_exclude_keys: entries of the config to leave out.
        config_include_keys: the only entries of the config to take.
        allow_val_change: let entries of the config change.
        group: what runs of one experiment share.
        job_type: such as "train".
        mode: "online", "offline" (rows wait on disk for `exptrack recover`) or "disabled".
        force: not needed: there is no login.
        reinit: what to do while another run is open: "return_previous" (the default), "finish_previous" or
            True, "create_new".
        resume: "allow", "must", "never", "auto"; without it an `id` that exists is gone on with.
        settings: a `wandb.Settings` or a mapping.
        others: arguments of exptrack's own `init`, such as `home` or `sinks`. What W&B has beyond these is
            accepted, and said once.

    Raises:
        Error: `resume` or the config have no meaning.
        Misuse: as for `exptrack_agent.init`.
    """
    global current  # noqa: PLW0603  # W&B's own design: a run of the moment
    if current is not None and reinit != "create_new":
        if reinit in (None, "default", "return_previous", False):
            say_once("wandb reinit", "wandb.init: the open run goes on; wandb.finish() ends it")
            return current
        current.finish()
    given = {
        **from_environment(),
        **from_settings(settings),
        **_said({"entity": entity, "project": project, "id": id, "name": name, "notes": notes}),
        **_said({"tags": tags, "group": group, "job_type": job_type, "mode": mode}),
        **_said({"resume": resume}),
    }
    _mention(_said({**others, "dir": dir, "force": force}))
    values = _chosen(as_mapping(config), config_include_keys, config_exclude_keys)
    own = {name: value for name, value in others.items() if name in _OWN}
    run = _begin(given, values, own, allow_val_change=bool(allow_val_change))
    if reinit != "create_new":
        current = run
    return run


def forget(run: Run) -> None:
    """This run is over."""
    global current  # noqa: PLW0603
    if current is run:
        current = None


def opened(call: str) -> Run:
    """The run of the moment.

    Raises:
        Error: there is none.
    """
    if current is None:
        raise Error(f"You must call wandb.init() before wandb.{call}()")
    return current


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """End the run of the moment, if there is one."""
    if current is not None:
        current.finish(exit_code)


def _begin(
    given: dict[str, Any], config: dict[str, Any], own: dict[str, Any], *, allow_val_change: bool
) -> Run:
    run_id = _id(given.get("id"))
    entity = given.get("entity")
    options = dict(own)
    if entity:
        asked = {"wandb": {"entity": entity}}
        options["sink_options"] = {**asked, **(own.get("sink_options") or {})}
    tags = given.get("tags") or ()
    labels = (tags,) if isinstance(tags, str) else tuple(str(tag) for tag in tags)
    existed = run_id is not None and (home_path(own.get("home")) / "runs" / run_id).is_dir()
    inner = begin(
        given.get("project") or _DEFAULT_PROJECT,
        name=given.get("name"),
        config=config,
        group=given.get("group"),
        job_type=given.get("job_type"),
        tags=labels,
        notes=given.get("notes") or "",
        run_id=run_id,
        resume=_resume(given.get("resume"), run_id),
        mode=mode_here(given.get("mode")),
        **options,
    )
    about = About(
        entity=entity,
        group=given.get("group"),
        job_type=given.get("job_type"),
        notes=given.get("notes"),
        tags=labels,
        resumed=existed,
        allow_val_change=allow_val_change,
    )
    is_known = existed and run_id is not None and inner.mode == "online"
    return Run(inner, about, next_step(inner.home, inner.id) if is_known else 0)


def _resume(given: Any, run_id: str | None) -> str:
    """The policy here for W&B's."""
    if given in (None, False):
        return "allow" if run_id is not None else "never"
    policy = "allow" if given is True else _RESUME.get(str(given).lower())
    if policy is None:
        raise Error(f"resume is one of {', '.join(_RESUME)} or a bool, not {given!r}")
    if run_id is None and policy != "never":
        say_once("wandb resume", "wandb.init: resume needs an `id`; this is a new run")
        return "never"
    return policy


def _id(given: Any) -> str | None:
    """An id that exptrack takes."""
    if given is None or RUN_ID.fullmatch(str(given)):
        return str(given) if given is not None else None
    changed = re.sub(r"[^A-Za-z0-9._-]+", "-", str(given)).strip(".-")[:64] or None
    say_once("wandb id", f"the run's id is {changed}: ids are 1 to 64 of A-Z a-z 0-9 . _ -")
    return changed


def _chosen(
    values: dict[str, Any], include: Iterable[str] | None, exclude: Iterable[str] | None
) -> dict[str, Any]:
    wanted, unwanted = set(include or values), set(exclude or ())
    return {key: value for key, value in values.items() if key in wanted - unwanted}


def _said(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in arguments.items() if value is not None}


def _mention(others: Mapping[str, Any]) -> None:
    for name in sorted(set(others) - set(_OWN)):
        known = "has no meaning here" if name in _MEANINGLESS else "is not known"
        say_once(f"wandb argument {name}", f"wandb.init: {name!r} {known}; the run goes on")


@atexit.register
def _settle_at_exit() -> None:
    """Before exptrack ends its runs, since this was registered later."""
    if current is not None:
        current.settle()
