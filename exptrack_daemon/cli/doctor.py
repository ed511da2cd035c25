"""`exptrack doctor`: is everything in order, and what to do where it isn't."""

from __future__ import annotations

from collections import Counter

import typer
from rich.table import Table
from rich.text import Text

from exptrack_daemon.cli.exits import ExitCode
from exptrack_daemon.cli.findings import BAD, OK, WARN, Finding, examine
from exptrack_daemon.cli.frame import HomeOption, JsonOption, app, home_path, verb
from exptrack_daemon.cli.machine import dumps
from exptrack_daemon.cli.render import clean, console, plural, styled
from exptrack_daemon.home import Home


@verb(app, examples=["exptrack doctor", "exptrack doctor --json"])
def doctor(home: HomeOption = None, json: JsonOption = False) -> None:
    """Look whether all is in order, and how to mend it.

    Installation, home, disk, sockets, settings, sinks, daemon, GPU; exit code 1 when something is bad.
    """
    findings = list(examine(Home(home_path(home))))
    if json:
        typer.echo(dumps([finding._asdict() for finding in findings]))
    else:
        _print(findings)
    if any(finding.level == BAD for finding in findings):
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _print(findings: list[Finding]) -> None:
    out = console()
    shown = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for finding in findings:
        text = Text(clean(finding.text, 500))
        if finding.mend and finding.level != OK:
            text.append(f"\n→ {clean(finding.mend, 500)}", "cyan")
        shown.add_row(styled(finding.level), Text(clean(finding.what), "bold"), text)
    out.print(shown)
    counts = Counter(finding.level for finding in findings)
    if counts[BAD]:
        out.print(f"\n{plural(counts[BAD], 'thing')} to mend.")
    elif counts[WARN]:
        out.print(f"\nAll works; {plural(counts[WARN], 'thing')} to look at.")
    else:
        out.print("\nAll is well.")
