"""`exptrack rerun`: the command of a run, in the state of the source that it ran in.

The tracker records that state as an artifact of the run (its metadata is a JSON document). Here it becomes a
plan: a git worktree at that commit with the uncommitted changes applied, and the command in it. The files
that the user works on are not touched. Nothing runs without `--yes`.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from exptrack_daemon.cli.exits import ExitCode, UsageWrong
from exptrack_daemon.cli.frame import (
    HomeOption,
    JsonOption,
    RunArgument,
    app,
    fail,
    reading,
    show_notices,
    verb,
)
from exptrack_daemon.cli.machine import dumps
from exptrack_daemon.cli.render import clean, plural, warn
from exptrack_daemon.errors import RunNotFound
from exptrack_daemon.store.reader import RunView

TYPE = "exptrack/reproduction"
FORMAT = 1
_OF_THE_JOB = frozenset(
    {
        "RANK",
        "LOCAL_RANK",
        "WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
        "VIRTUAL_ENV",
        "CONDA_DEFAULT_ENV",
    }
)
"""Variables that say where the run was, not how it was."""
_MOST_NAMED = 5


@dataclass(slots=True)
class Plan:
    """What there is to do, and what is in the way of doing it faithfully."""

    run_id: str
    command: list[str]
    folder: str
    """Where the command runs."""
    environment: dict[str, str] = field(default_factory=dict)
    root: str = ""
    """The repository; "" when no commit is known."""
    commit: str = ""
    worktree: str = ""
    diff: str = ""
    missing: list[str] = field(default_factory=list)
    """Without this it cannot be the same run."""
    differences: list[str] = field(default_factory=list)
    """With this it may not be."""


@verb(
    app,
    examples=[
        "exptrack rerun latest",
        "exptrack rerun latest --yes",
        "exptrack rerun latest --diff",
    ],
)
def rerun(
    run: RunArgument,
    home: HomeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only shown.")] = False,
    here: Annotated[
        bool, typer.Option("--here", help="With the source as it is now, not as it was.")
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="DIR", help="The worktree to make.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also when something is missing.")] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Print the uncommitted changes, and nothing else.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show (or run) the command of a run, in its state."""
    reader = reading(home)
    view = reader.find(run)
    show_notices(reader)
    document = recorded_state(view)
    if diff:
        sys.stdout.write(str(_table(document, "git").get("diff", "")))
        return
    chosen = into.absolute() if into is not None else _free_folder(view.id)
    plan = plan_of(view.id, document, chosen, here=here)
    plan.environment["EXPTRACK_HOME"] = str(reader.home.path)
    if as_json:
        typer.echo(dumps(asdict(plan)))
        return
    if not yes:
        typer.echo("\n".join(script(plan)))
        return
    _run(plan, force=force)


def _run(plan: Plan, *, force: bool) -> None:
    if plan.missing and not force:
        reasons = "; ".join(plan.missing)
        fail(f"it cannot be run as it was: {reasons} (--force: anyway)", ExitCode.CHECK_FAILED)
    for line in [*plan.missing, *plan.differences]:
        warn(line)
    code = carry_out(plan)
    if code:
        raise typer.Exit(code)


def recorded_state(view: RunView) -> dict[str, Any]:
    """The state that the run's first attempt recorded.

    Raises:
        RunNotFound: it recorded none.
        UsageWrong: it was recorded by a newer exptrack.
    """
    for artifact in view.facts.artifacts:
        if artifact.type != TYPE:
            continue
        document = json.loads(artifact.metadata)
        if document.get("format", 0) > FORMAT:
            raise UsageWrong(f"run {view.id} was recorded by a newer exptrack: update it")
        return dict(document)
    raise RunNotFound(
        f"run {view.id} recorded no state; exptrack_agent.ExperimentTracker does, unless told not to"
    )


def plan_of(run_id: str, document: Mapping[str, Any], worktree: Path, *, here: bool) -> Plan:
    """What to do for a recorded state. Looks at this machine, changes nothing."""
    command, git = _table(document, "command"), _table(document, "git")
    if not command.get("arguments"):
        raise RunNotFound(f"run {run_id} recorded no command (record_environment was off)")
    folder = str(command.get("folder") or Path.cwd())
    variables = {str(k): str(v) for k, v in _table(document, "environment").items()}
    plan = Plan(
        run_id,
        [_interpreter(command), *map(str, command["arguments"])],
        folder,
        {k: v for k, v in variables.items() if k not in _OF_THE_JOB and not k.startswith("SLURM_")},
    )
    if not command.get("is_whole", True):
        plan.missing.append("secrets in its command line were not recorded (they stand as ***)")
    if here:
        plan.differences.append("the source is as it is now, not as it was")
    else:
        _add_source(plan, git, worktree)
    plan.differences += _differences(document, plan.command[0])
    return plan


def _add_source(plan: Plan, git: Mapping[str, Any], worktree: Path) -> None:
    if not git.get("commit"):
        plan.differences.append("no git commit was recorded: the source is as it is now")
        return
    plan.root, plan.commit, plan.worktree = str(git["root"]), str(git["commit"]), str(worktree)
    if git.get("is_dirty"):
        plan.diff = str(git.get("diff", ""))
        if not git.get("diff_is_whole"):
            plan.missing.append("its uncommitted changes were too large to be recorded whole")
    if git.get("untracked"):
        names = ", ".join(map(str, git["untracked"][:_MOST_NAMED]))
        plan.differences.append(f"files that git did not know were not recorded: {names}")
    if not Path(plan.root).is_dir():
        plan.missing.append(
            f"its repository {plan.root} is not here ({git.get('remote', 'no remote')})"
        )
    plan.folder = _moved(plan.folder, plan.root, plan.worktree)
    plan.command[1:] = [_moved(part, plan.root, plan.worktree) for part in plan.command[1:]]
    if "PYTHONPATH" in plan.environment:
        parts = plan.environment["PYTHONPATH"].split(os.pathsep)
        moved = [_moved(part, plan.root, plan.worktree) for part in parts]
        plan.environment["PYTHONPATH"] = os.pathsep.join(moved)


def _moved(path: str, root: str, worktree: str) -> str:
    """A path inside the repository as it is in the worktree; any other text as it is."""
    return worktree + path[len(root) :] if path == root or path.startswith(f"{root}/") else path


def _interpreter(command: Mapping[str, Any]) -> str:
    recorded = str(command.get("executable", ""))
    return recorded if recorded and Path(recorded).exists() else sys.executable


def _differences(document: Mapping[str, Any], interpreter: str) -> Iterator[str]:
    """What is otherwise here than it was there, as far as this process can see."""
    machine, python = _table(document, "machine"), _table(document, "python")
    if interpreter != _table(document, "command").get("executable"):
        yield f"its interpreter is not here; {interpreter} stands in for it"
    if machine.get("host") not in (None, os.uname().nodename):
        yield f"it ran on {machine['host']}"
    if interpreter != sys.executable:
        return  # what is installed there is not for this process to say
    if python.get("version") not in (None, platform.python_version()):
        yield f"it ran with Python {python['version']}, this is {platform.python_version()}"
    others = [
        f"{name} {now or 'missing'} (was {then})"
        for name, then in _table(document, "packages").items()
        if (now := _installed(name)) != then
    ]
    if others:
        shown = ", ".join(others[:_MOST_NAMED])
        yield f"{plural(len(others), 'package')} of another version: {shown}"


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def _free_folder(run_id: str) -> Path:
    base = Path(tempfile.gettempdir())
    names = (f"exptrack-rerun-{run_id}{end}" for end in ("", *(f"-{n}" for n in range(2, 1_000))))
    return next(base / name for name in names if not (base / name).exists())


def script(plan: Plan) -> Iterator[str]:
    """The plan as lines for a shell."""
    for line in [*plan.missing, *plan.differences]:
        yield f"# {clean(line, 400)}"
    if plan.worktree:
        yield shlex.join(_worktree_command(plan))
    if plan.diff:
        show = shlex.join(["exptrack", "rerun", plan.run_id, "--diff"])
        yield f"{show} | {shlex.join(_apply_command(plan))}"
    yield f"cd {shlex.quote(plan.folder)}"
    settings = [f"{name}={shlex.quote(value)}" for name, value in plan.environment.items()]
    yield " ".join([*settings, shlex.join(plan.command)])


def _worktree_command(plan: Plan) -> list[str]:
    return ["git", "-C", plan.root, "worktree", "add", "--detach", plan.worktree, plan.commit]


def _apply_command(plan: Plan) -> list[str]:
    return ["git", "-C", plan.worktree, "apply", "--whitespace=nowarn", "-"]


def carry_out(plan: Plan) -> int:
    """Make the worktree, then run the command in it; its exit code."""
    if plan.worktree:
        _do(_worktree_command(plan), None)
        typer.echo(f"The source as it was: {clean(plan.worktree, 4_096)}", err=True)
    if plan.diff:
        _do(_apply_command(plan), plan.diff.encode("utf-8", "surrogateescape"))
    environ = {name: value for name, value in os.environ.items() if name != "EXPTRACK_RUN_ID"}
    try:
        done = subprocess.run(
            plan.command, cwd=plan.folder, env={**environ, **plan.environment}, check=False
        )
    except OSError as error:
        raise UsageWrong(
            f"{plan.command[0]} cannot be run in {plan.folder}: {error.strerror}"
        ) from error
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _do(command: list[str], text: bytes | None) -> None:
    try:
        done = subprocess.run(command, input=text, capture_output=True, check=False)
    except OSError as error:
        raise UsageWrong(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise UsageWrong(f"{shlex.join(command)}\n{said}")
