"""Files that belong to a run -> W&B's artifacts.

By default a reference: W&B's artifact says where the file is, how large, and its SHA-256, and its bytes are
neither read nor sent; a checkpoint may have gigabytes. The same artifact again is the same version at W&B,
which goes by the digest of what an artifact holds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exptrack_proto.records import Artifact

_NOT_IN_NAMES = re.compile(r"[/:\\#?%\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_MAX_NAME_CHARS = 128
_MAX_KEYS = 80
"""W&B takes 100 of an artifact's metadata, ours included."""
_RESERVED_TYPES = ("wandb-", "job", "run_table", "code")


@dataclass(frozen=True, slots=True)
class Reference:
    """What wandb is told of a file."""

    name: str
    type: str
    path: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_address(self) -> bool:
        """Such as `s3://…`."""
        return "://" in self.path

    @property
    def uri(self) -> str:
        """Where the file stands, for W&B."""
        return self.path if self.is_address else Path(self.path).absolute().as_uri()


def reference_of(item: Artifact, run_id: str) -> Reference:
    """Names are told apart by run: at W&B an artifact belongs to the project."""
    room = _MAX_NAME_CHARS - len(run_id) - 1
    name = f"{_NOT_IN_NAMES.sub('-', item.name)[:room]}-{run_id}"
    kind = _NOT_IN_NAMES.sub("-", item.type)[:_MAX_NAME_CHARS] or "file"
    if kind.startswith(_RESERVED_TYPES):
        kind = f"user-{kind}"
    about = {
        "step": item.step,
        "path": item.path,
        "size_bytes": item.size_bytes,
        "sha256": item.sha256,
    }
    return Reference(name, kind, item.path, {**_object(item.metadata), **about})


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return dict(list(found.items())[:_MAX_KEYS]) if isinstance(found, dict) else {}
