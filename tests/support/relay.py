"""A wire that is tapped: connections to a unix socket go through here, and what they carry is kept."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path


class Relay:
    """Takes a listening socket's name; everything said to it, and by it, is passed on and kept in `heard`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._behind = path.with_name(f"{path.name}.behind")
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.heard = bytearray()

    def __enter__(self) -> Relay:
        self._path.rename(self._behind)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._path.chmod(0o600)
        self._listener.listen()
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for end in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in [self._listener, *self._open]:
            end.close()
        self._behind.rename(self._path)

    def _start(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                called = socket.socket(socket.AF_UNIX)
                called.connect(str(self._behind))
                self._open += [caller, called]
                self._start(self._pass, caller, called)
                self._start(self._pass, called, caller)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self.heard += data
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
