"""Where a run's things stand: folders, and its page at W&B. For `exptrack show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exptrack_daemon.store.facts import RunFacts

if TYPE_CHECKING:
    from exptrack_daemon.store.reader import HomeReader


def places_of(reader: HomeReader, facts: RunFacts) -> dict[str, str]:
    """By name, the folders of this run that exist, and the address that W&B gave it."""
    from exptrack_daemon.sinks.tensorboard.folders import find_folder

    home, run_id = reader.home, facts.run.run_id
    folders = {"journal": home.journal(run_id), "wandb": home.run(run_id) / "wandb"}
    board = find_folder(home.tensorboard, facts.run)
    if board is not None:
        folders["tensorboard"] = board
    places = {name: str(folder) for name, folder in folders.items() if folder.exists()}
    cursor = reader.cursor(run_id, "wandb")
    url = ((cursor and cursor.state) or {}).get("url")
    return {**places, "wandb_url": url} if isinstance(url, str) else places
