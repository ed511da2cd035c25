"""The tracker's names are the agent's, and cost nobody anything who does not use them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import exptrack_agent as xt


def test_the_tracker_is_imported_when_it_is_used():
    code = """
import sys
import exptrack_agent as xt
xt.init(mode="disabled").log({"a": 1})
loaded = [name for name in sys.modules if name.startswith("exptrack_agent.tracker")]
assert not loaded, loaded
xt.ExperimentConfig(), xt.ExperimentTracker(mode="disabled").close()
heavy = {"numpy", "torch", "matplotlib", "pandas", "seaborn", "wandb", "tensorboard"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there_and_listed():
    assert all(getattr(xt, name) is not None for name in xt.__all__)
    assert set(xt.__all__) <= set(dir(xt))


def test_a_name_that_is_not_there_is_refused():
    with pytest.raises(AttributeError, match="ExperimentTrackr"):
        _ = xt.ExperimentTrackr  # type: ignore[attr-defined]
