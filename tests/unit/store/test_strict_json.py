"""Strict JSON: what JSON does not know goes by name."""

from __future__ import annotations

import json

from exptrack_daemon.store.strict_json import strict


def test_what_json_does_not_know_goes_by_name_however_deep_it_stands():
    inf = float("inf")
    given = {"a": [float("nan"), (inf, {"b": -inf})], 3: 1.5, "n": None, "t": True}
    said = {"a": ["NaN", ["Infinity", {"b": "-Infinity"}]], "3": 1.5, "n": None, "t": True}
    assert strict(given) == said
    assert json.loads(json.dumps(strict(given), allow_nan=False)) == said


def test_what_is_nested_too_deep_is_cut_off():
    deep = "bottom"
    for _ in range(100):
        deep = [deep]
    text = json.dumps(strict(deep))
    assert "bottom" not in text
    assert text.count("[") == 64
