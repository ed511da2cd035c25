"""Keys for trainers on other machines: this home's own pair, and the list of those who may connect.

HOME/keys/key.json      {"public": …, "secret": …}: CURVE keys as Z85 texts; readable by this user only
HOME/keys/allowed.json  {name: public key}: who may send frames here
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import zmq

from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.files import Files, replace_durably
from exptrack_daemon.home import Home, make_private

_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class KeyPair(NamedTuple):
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


def folder(home: Home) -> Path:
    return home.path / "keys"


def own_keys(home: Home) -> KeyPair | None:
    """This home's pair; None when none was made.

    Raises:
        HomeUnusable: the file is no pair, or others can read it.
    """
    path = folder(home) / "key.json"
    try:
        mode = path.lstat().st_mode
        told = json.loads(path.read_bytes())
        pair = KeyPair(told["public"], told["secret"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise HomeUnusable(
            f"{path} holds no pair of keys; remove it, then `exptrack keys new`"
        ) from error
    if mode & 0o077:
        raise HomeUnusable(f"{path} can be read by others; chmod 600, or make a new pair")
    if not (is_key(pair.public) and is_key(pair.secret)):
        raise HomeUnusable(f"{path} holds no pair of keys; remove it, then `exptrack keys new`")
    return pair


def make_keys(files: Files, home: Home) -> KeyPair:
    """A new pair for this home.

    Raises:
        HomeUnusable: the folder is not private, or cannot be written.
    """
    public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
    make_private(folder(home))
    _write(files, folder(home) / "key.json", {"public": public, "secret": secret})
    return KeyPair(public, secret)


def allowed(home: Home) -> dict[str, str]:
    """Public keys that may connect, by name; none when the list cannot be read."""
    try:
        told = json.loads((folder(home) / "allowed.json").read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {str(name): key for name, key in told.items() if isinstance(key, str) and is_key(key)}


def save_allowed(files: Files, home: Home, keys: dict[str, str]) -> None:
    """Replace the list; it counts for the next connection.

    Raises:
        HomeUnusable: the folder is not private, or cannot be written.
    """
    make_private(folder(home))
    _write(files, folder(home) / "allowed.json", keys)


def is_key(text: str) -> bool:
    return _Z85.fullmatch(text) is not None


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _write(files: Files, path: Path, what: dict[str, str]) -> None:
    try:
        replace_durably(files, path, json.dumps(what, indent=2).encode())
    except OSError as error:
        raise HomeUnusable(f"{path} cannot be written: {error.strerror}") from error
