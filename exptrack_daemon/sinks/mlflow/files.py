"""Media items -> files of the run's artifacts, under names that MLflow's pages know. Pure.

A file's name is a function of the journal, so a file that is sent again replaces itself.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from exptrack_daemon.errors import BatchRejected
from exptrack_daemon.journal.entries import Event
from exptrack_daemon.sinks.mlflow.names import file_name, prefix_of
from exptrack_proto.records import Artifact, Image, Table, TextItem

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class File:
    path: str
    """Below the run's artifacts, `/` between folders."""
    data: bytes
    is_table: bool = False
    is_picture: bool = False


def files_of(run_id: str, event: Event) -> list[File]:
    """What becomes of an event that MLflow keeps as files; nothing for any other.

    Raises:
        BatchRejected: the item is not what it says it is.
    """
    match event.item:
        case Image():
            return _picture(run_id, event, event.item)
        case TextItem():
            path = _path("texts", run_id, event, event.item, "md")
            return [File(path, _utf8(event.item.text))]
        case Table():
            path = _path("tables", run_id, event, event.item, "json")
            return [File(path, _table(event.item), is_table=True)]
        case Artifact():
            path = _path("references", run_id, event, event.item, "json")
            return [File(path, _reference(event.item))]
    return []


def _picture(run_id: str, event: Event, item: Image) -> list[File]:
    from exptrack_daemon.sinks.mlflow.pictures import encoded

    png, small = encoded(item)
    name = file_name(prefix_of(event.stream) + item.name)
    at = f"step+{item.step}+timestamp+{item.time_ns // _NS_PER_MS}"
    path = f"images/{name}+{at}+{_identity(run_id, event)}"
    return [File(f"{path}.png", png, is_picture=True), File(f"{path}+compressed.webp", small)]


def _path(
    folder: str, run_id: str, event: Event, item: TextItem | Table | Artifact, kind: str
) -> str:
    name = file_name(prefix_of(event.stream) + item.name)
    identity = str(_identity(run_id, event))[:8]
    return f"{folder}/{name}/step-{item.step}-{identity}.{kind}"


def _identity(run_id: str, event: Event) -> uuid.UUID:
    place = f"{run_id}/{event.stream.stream_id}/{event.sequence}"
    return uuid.uuid5(uuid.NAMESPACE_OID, place)


def _table(item: Table) -> bytes:
    """As pandas writes a table with `orient="split"`, which is what MLflow reads."""
    try:
        rows = json.loads(item.rows)
    except ValueError as error:
        raise BatchRejected(f"table {item.name!r}: its rows are not JSON") from error
    return _utf8(json.dumps({"columns": list(item.columns), "data": rows}, ensure_ascii=False))


def _reference(item: Artifact) -> bytes:
    """What is known of a file that stays where it is."""
    try:
        metadata = json.loads(item.metadata)
    except ValueError:
        metadata = item.metadata
    about = {
        "name": item.name,
        "type": item.type,
        "step": item.step,
        "path": item.path,
        "size_bytes": item.size_bytes,
        "sha256": item.sha256 or None,
        "metadata": metadata,
    }
    return _utf8(json.dumps(about, ensure_ascii=False, indent=2) + "\n")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
