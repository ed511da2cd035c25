"""The simulation's models: they learn, both the same way, and go wrong where they should."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_daemon.web.studio.simulated import NumpyModel, TorchModel, map_of, spiral

MODELS = [NumpyModel, TorchModel]


def trained(model, steps, rate=0.3, most_norm=1.0):
    points, labels = spiral(0)
    random = np.random.default_rng(0)
    measured = []
    for _ in range(steps):
        chosen = random.integers(0, 1000, 64)
        measured.append(model.train(points[chosen], labels[chosen], rate, most_norm))
    return measured, model.validate(points[1000:], labels[1000:])


@pytest.mark.parametrize("kind", MODELS)
def test_the_spiral_is_learned(kind):
    pytest.importorskip("torch") if kind is TorchModel else None
    measured, validated = trained(kind(0), 500)
    assert measured[0].loss > 0.9
    assert validated.accuracy > 0.9
    assert not any(one.nan_count or one.inf_count for one in measured)


@pytest.mark.parametrize("kind", MODELS)
def test_gradients_are_clipped_and_that_is_said(kind):
    pytest.importorskip("torch") if kind is TorchModel else None
    measured, _ = trained(kind(0), 5, most_norm=1e-3)
    assert all(one.is_clipped and one.gradient_norm > 1e-3 for one in measured)


@pytest.mark.parametrize("kind", MODELS)
def test_a_rate_far_too_high_shows_and_does_not_raise(kind):
    pytest.importorskip("torch") if kind is TorchModel else None
    measured, _ = trained(kind(0), 60, rate=1e308 if kind is NumpyModel else 1e38, most_norm=1e38)
    assert any(one.nan_count for one in measured)


def test_numpy_s_gradients_are_those_of_differences():
    model = NumpyModel(0)
    points, labels = spiral(0)
    x, y = points[:32], labels[:32]
    before = model._weights[0][0, 0]
    nudge = 1e-5
    model._weights[0][0, 0] = before + nudge
    above = model.validate(x, y).loss
    model._weights[0][0, 0] = before - nudge
    slope = (above - model.validate(x, y).loss) / (2 * nudge)
    model._weights[0][0, 0] = before
    model.train(x, y, 1.0, 1e9)
    assert before - model._weights[0][0, 0] == pytest.approx(slope, rel=1e-4)


def test_the_map_is_a_picture():
    picture = map_of(NumpyModel(0), pixels=8)
    assert picture.shape == (8, 8, 3)
    assert 0 <= picture.min() <= picture.max() <= 1
