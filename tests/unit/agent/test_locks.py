"""Asking about locks."""

from __future__ import annotations

import fcntl

from exptrack_agent.locks import is_held


def test_a_lock_is_held_until_its_holder_lets_go_and_asking_disturbs_nobody(tmp_path):
    path = tmp_path / "a.lock"
    assert not is_held(path)
    assert not path.exists()
    with path.open("w") as holder:
        assert not is_held(path)
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert is_held(path)
    assert not is_held(path)
