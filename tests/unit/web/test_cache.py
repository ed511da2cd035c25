"""The byte-bounded cache."""

from __future__ import annotations

from exptrack_daemon.web.cache import ByteCache


def test_the_least_recently_used_goes_first_and_the_bytes_are_kept():
    cache = ByteCache(100)
    cache.put("a", 1, 40)
    cache.put("b", 2, 40)
    assert cache.get("a") == 1
    cache.put("c", 3, 40)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    assert cache.bytes == 80


def test_putting_again_replaces_and_what_never_fits_is_not_kept():
    cache = ByteCache(100)
    cache.put("a", 1, 90)
    cache.put("a", 2, 50)
    cache.put("b", 3, 101)
    assert (cache.get("a"), cache.get("b"), cache.bytes) == (2, None, 50)
