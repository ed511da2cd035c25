"""A small classification that is really learned: a spiral of three arms, by torch or, without it, NumPy.

Both models are the same: 2 → 32 → 32 → 3, ReLU, cross entropy, plain gradient descent with clipping. A
learning rate that is too high makes the very trouble that the studio is there to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

CLASSES = 3
HIDDEN = 32
_ARM_POINTS = 400
_TURNS = 4.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one step, or one validation, found."""

    loss: float
    accuracy: float
    gradient_norm: float = 0.0
    nan_count: int = 0
    inf_count: int = 0
    is_clipped: bool = False


class Model(Protocol):
    @property
    def module(self) -> Any:
        """The torch module; None for NumPy's."""

    def train(self, x: Array, y: Array, rate: float, most_norm: float) -> Measured:
        """One step on points `[n, 2]` and labels `[n]`; gradients are clipped to the norm."""

    def validate(self, x: Array, y: Array) -> Measured: ...

    def predict(self, x: Array) -> Array:
        """The likeliest class of each point, `[n]`."""


def spiral(seed: int) -> tuple[Array, Array]:
    """Points `[1200, 2]` in -1…1, float32, and labels `[1200]`, in random order."""
    random = np.random.default_rng(seed)
    radius = np.tile(np.linspace(0.05, 1.0, _ARM_POINTS), CLASSES)
    labels = np.repeat(np.arange(CLASSES), _ARM_POINTS)
    angle = labels * (2 * np.pi / CLASSES) + radius * _TURNS + random.normal(0, 0.12, len(radius))
    points = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    order = random.permutation(len(labels))
    return points[order].astype(np.float32), labels[order]


def map_of(model: Model, pixels: int = 96) -> Array:
    """What the model says of each place, as a picture `[pixels, pixels, 3]` in 0…1."""
    side = np.linspace(-1, 1, pixels, dtype=np.float32)
    places = np.stack(np.meshgrid(side, -side), axis=-1).reshape(-1, 2)
    colours = np.array([[0.13, 0.40, 0.67], [0.85, 0.44, 0.06], [0.11, 0.47, 0.22]])
    picture: Array = colours[model.predict(places)].reshape(pixels, pixels, 3)
    return picture


def new_model(seed: int) -> Model:
    """The torch model where torch is installed, else NumPy's."""
    try:
        return TorchModel(seed)
    except ImportError:
        return NumpyModel(seed)


class NumpyModel:
    """Backpropagation by hand."""

    module = None

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        sizes = (2, HIDDEN, HIDDEN, CLASSES)
        self._weights = [
            random.normal(0, np.sqrt(2 / inputs), (inputs, outputs))
            for inputs, outputs in pairwise(sizes)
        ]
        self._biases = [np.zeros(outputs) for outputs in sizes[1:]]

    def train(self, x: Array, y: Array, rate: float, most_norm: float) -> Measured:
        with np.errstate(all="ignore"):  # infinities are what is to be seen
            layers = self._forward(x)
            loss, accuracy, slope = _cross_entropy(layers[-1], y)
            gradients = self._backward(layers, slope)
            flat = np.concatenate([gradient.ravel() for gradient in gradients])
            norm = float(np.sqrt(np.sum(flat**2)))
            is_clipped = bool(norm > most_norm)
            scale = most_norm / norm if is_clipped else 1.0
            for at, parameter in enumerate([*self._weights, *self._biases]):
                np.subtract(parameter, rate * scale * gradients[at], out=parameter)
        nans, infinities = int(np.isnan(flat).sum()), int(np.isinf(flat).sum())
        return Measured(loss, accuracy, norm, nans, infinities, is_clipped)

    def validate(self, x: Array, y: Array) -> Measured:
        with np.errstate(all="ignore"):
            loss, accuracy, _ = _cross_entropy(self._forward(x)[-1], y)
        return Measured(loss, accuracy)

    def predict(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            chosen: Array = self._forward(x)[-1].argmax(axis=1)
        return chosen

    def _forward(self, x: Array) -> list[Array]:
        """The input, each hidden layer, the logits."""
        layers = [x.astype(np.float64)]
        for weights, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            layers.append(np.maximum(layers[-1] @ weights + bias, 0))
        return [*layers, layers[-1] @ self._weights[-1] + self._biases[-1]]

    def _backward(self, layers: list[Array], slope: Array) -> list[Array]:
        """The gradients of all weights, then of all biases."""
        weights: list[Array] = []
        biases: list[Array] = []
        for at in reversed(range(len(self._weights))):
            weights.insert(0, layers[at].T @ slope)
            biases.insert(0, slope.sum(axis=0))
            if at:
                slope = (slope @ self._weights[at].T) * (layers[at] > 0)
        return [*weights, *biases]


def _cross_entropy(logits: Array, labels: Array) -> tuple[float, float, Array]:
    """Mean loss, accuracy, and the loss's slope at the logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    chances = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(-np.log(chances[rows, labels]).mean())
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    slope = chances
    slope[rows, labels] -= 1
    return loss, accuracy, slope / len(labels)


class TorchModel:
    """The same, as a user of torch would write it.

    Raises:
        ImportError: torch is not installed.
    """

    def __init__(self, seed: int) -> None:
        import torch

        torch.manual_seed(seed)
        torch.set_num_threads(1)
        linear, relu = torch.nn.Linear, torch.nn.ReLU
        self.module: Any = torch.nn.Sequential(
            *(linear(2, HIDDEN), relu(), linear(HIDDEN, HIDDEN), relu()), linear(HIDDEN, CLASSES)
        )
        self._torch = torch
        self.optimizer = torch.optim.SGD(self.module.parameters(), lr=0.1)

    def train(self, x: Array, y: Array, rate: float, most_norm: float) -> Measured:
        torch = self._torch
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        loss, accuracy = self._measure(x, y)
        loss.backward()
        parameters = list(self.module.parameters())
        nans = sum(int(p.grad.isnan().sum()) for p in parameters)
        infinities = sum(int(p.grad.isinf().sum()) for p in parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, most_norm))
        self.optimizer.step()
        is_clipped = norm > most_norm
        return Measured(float(loss.detach()), accuracy, norm, nans, infinities, is_clipped)

    def validate(self, x: Array, y: Array) -> Measured:
        with self._torch.no_grad():
            loss, accuracy = self._measure(x, y)
        return Measured(float(loss), accuracy)

    def predict(self, x: Array) -> Array:
        with self._torch.no_grad():
            chosen: Array = self.module(self._torch.from_numpy(x)).argmax(1).numpy()
        return chosen

    def _measure(self, x: Array, y: Array) -> tuple[Any, float]:
        logits = self.module(self._torch.from_numpy(x))
        labels = self._torch.from_numpy(y)
        loss = self._torch.nn.functional.cross_entropy(logits, labels)
        return loss, float((logits.argmax(1) == labels).float().mean())
