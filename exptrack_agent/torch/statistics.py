"""L2 norms of many tensors in one pass, and exact counts of NaN and Inf where a norm is not finite.

On the CPU tensors of more than 4,096 numbers are read where they are, as numpy views; the others
are copied into one buffer and summed in pieces, since what small tensors cost is the call and not
the numbers. Neither opens a parallel region, which would cost milliseconds beside a training
thread. What numpy does not know (half precision, strided tensors) and what stands on a device goes
through torch; results of a device stay there, unread.

A float32 sum of squares ends at 2e19 and loses what is below 1e-15, so a norm that is not finite,
or next to nothing, is looked at again in float64: NaN and Inf are in the tensor, or the norm is.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

SMALL = 4_096
"""Tensors up to this size are copied together."""
_TINY = 1e-28
_PIECE = 1 << 20
_NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}
_HALF_TYPES = (torch.float16, torch.bfloat16)


class Nonfinite(NamedTuple):
    """How many numbers are NaN and how many infinite."""

    nan: int = 0
    inf: int = 0


class DeviceNorms(NamedTuple):
    """Norms that stand on one device."""

    places: list[int]
    """Which of the tensors they belong to."""
    vector: Any


class Norms(NamedTuple):
    """Norms of tensors, in their order."""

    host: list[float]
    """Of each tensor on the CPU; 0.0 in the place of one on a device."""
    devices: list[DeviceNorms]

    def total(self) -> Any:
        """The norm of all together: a number when all stand on the CPU, else a tensor on the first device."""
        host = _length(self.host)
        if not self.devices:
            return host
        first = self.devices[0].vector
        parts = [torch.linalg.vector_norm(part.vector).to(first.device) for part in self.devices]
        if host or host != host:
            parts.append(torch.full((), host, dtype=first.dtype, device=first.device))
        return torch.linalg.vector_norm(torch.stack(parts))


def plain(tensor: Any) -> Any:
    """A tensor's numbers, dense, real and local: sparse by values, complex by parts, sharded by shard."""
    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    if tensor.layout is not torch.strided:
        tensor = tensor.coalesce() if tensor.layout is torch.sparse_coo else tensor
        tensor = tensor.values()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def norms_of(tensors: Sequence[Any]) -> Norms:
    """The L2 norm of each tensor (given `plain`). Waits for no device."""
    host = [0.0] * len(tensors)
    small: dict[Any, list[int]] = {}
    other: dict[tuple[Any, Any], list[int]] = {}
    with np.errstate(all="ignore"):
        for place, tensor in enumerate(tensors):
            dtype = tensor.dtype
            if dtype not in _NUMPY_TYPES or not tensor.is_cpu or not tensor.is_contiguous():
                other.setdefault((tensor.device, dtype), []).append(place)
            elif (size := tensor.numel()) > SMALL:
                host[place] = _norm_of_large(tensor.numpy().reshape(-1))
            elif size:
                small.setdefault(dtype, []).append(place)
        for dtype, places in small.items():
            _norms_of_small(dtype, places, tensors, host)
    on_device: dict[Any, list[tuple[list[int], Any]]] = {}
    for (device, dtype), places in other.items():
        vector = _torch_norms([tensors[place] for place in places], dtype)
        if device.type == "cpu":
            for place, norm in zip(places, vector.tolist(), strict=True):
                host[place] = norm if math.isfinite(norm) else _looked_at_again(tensors[place])
        else:
            on_device.setdefault(device, []).append((places, vector))
    return Norms(host, [_joined(parts) for parts in on_device.values()])


def nonfinite_of(tensor: Any) -> Nonfinite:
    """Exact counts of one tensor on the CPU (given `plain`)."""
    nan = int(torch.isnan(tensor).sum())
    return Nonfinite(nan, int(torch.isinf(tensor).sum()))


def nonfinite_of_flagged(tensors: Sequence[Any], norms: Sequence[float]) -> dict[int, Nonfinite]:
    """Exact counts, by place, of those tensors on the CPU whose norm is not finite."""
    counts: dict[int, Nonfinite] = {}
    for place, norm in enumerate(norms):
        if not math.isfinite(norm):
            count = nonfinite_of(tensors[place])
            if count.nan or count.inf:  # else the norm itself is beyond float64
                counts[place] = count
    return counts


def nonfinite_on_device(tensors: Sequence[Any]) -> Any:
    """Exact counts of all tensors of one device, as a tensor `[nan, inf]` there; no wait."""
    nan = [torch.isnan(tensor).sum() for tensor in tensors]
    inf = [torch.isinf(tensor).sum() for tensor in tensors]
    return torch.stack([torch.stack(nan).sum(), torch.stack(inf).sum()])


# --- inside ---------------------------------------------------------------------------------------


def _length(norms: Sequence[float]) -> float:
    if any(norm != norm for norm in norms):
        return math.nan  # as torch has it, though hypot(inf, nan) is inf
    return math.hypot(*norms)


def _norm_of_large(numbers: Any) -> float:
    square = float(np.dot(numbers, numbers))
    if square - square == 0 and square > _TINY:
        return math.sqrt(square)
    return _exact_norm(numbers)


def _exact_norm(numbers: Any) -> float:
    """In float64, scaled by the largest: inf or nan only when one of the numbers is."""
    largest = float(np.max(np.abs(numbers)))
    if not largest or not math.isfinite(largest):
        return largest if largest == largest else math.nan
    square = 0.0
    for start in range(0, numbers.size, _PIECE):
        part = numbers[start : start + _PIECE].astype(np.float64) / largest
        square += float(np.dot(part, part))
    return largest * math.sqrt(square)


def _norms_of_small(
    dtype: Any, places: list[int], tensors: Sequence[Any], host: list[float]
) -> None:
    chosen = [tensors[place] for place in places]
    gatherer = _gatherer_for(dtype, chosen)
    squares = gatherer.squares(chosen)
    for place, square, tensor in zip(places, squares, chosen, strict=True):
        if square - square == 0 and (square > _TINY or square == 0.0):
            host[place] = math.sqrt(square)
        else:
            host[place] = _exact_norm(tensor.numpy().reshape(-1))


def _torch_norms(tensors: list[Any], dtype: Any) -> Any:
    together = getattr(torch, "_foreach_norm", None)
    options = {"dtype": torch.float32} if dtype in _HALF_TYPES else {}
    if not dtype.is_floating_point:
        tensors = [tensor.float() for tensor in tensors]
    full = [tensor for tensor in tensors if tensor.numel()]
    if together is None or not full:
        return torch.stack([torch.linalg.vector_norm(tensor, **options) for tensor in tensors])
    return torch.stack(list(together(tensors, 2, **options)))


def _looked_at_again(tensor: Any) -> float:
    return _exact_norm(tensor.double().numpy().reshape(-1))


def _joined(parts: list[tuple[list[int], Any]]) -> DeviceNorms:
    places = [place for part, _ in parts for place in part]
    vectors = [vector for _, vector in parts]
    return DeviceNorms(places, vectors[0] if len(vectors) == 1 else torch.cat(vectors))


class _Gatherer:
    """A buffer and a view of it for each small tensor. Kept: 2,000 views take milliseconds to make."""

    def __init__(self, dtype: Any, shapes: Sequence[Any]) -> None:
        sizes = [math.prod(shape) for shape in shapes]
        buffer = torch.empty(sum(sizes), dtype=dtype)
        pieces = buffer.split(sizes)
        self._views = [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
        self._numbers = buffer.numpy()
        self._starts = np.cumsum([0, *sizes[:-1]])

    def squares(self, tensors: list[Any]) -> list[float]:
        """The sum of squares of each."""
        self.fill(tensors)
        squared = np.square(self._numbers, dtype=np.float64)
        return list(np.add.reduceat(squared, self._starts).tolist())

    def fill(self, tensors: list[Any]) -> Any:
        """The numbers of all tensors, one after the other."""
        together = getattr(torch, "_foreach_copy_", None)
        if together is not None:
            together(self._views, tensors)
        else:
            for view, tensor in zip(self._views, tensors, strict=True):
                view.copy_(tensor)
        return self._numbers


_MOST_GATHERERS = 8
_kept = threading.local()


def _gatherer_for(dtype: Any, tensors: list[Any]) -> _Gatherer:
    """The one for tensors of these shapes; each thread has its own, since it is written to."""
    gatherers: OrderedDict[Any, _Gatherer] = _kept.__dict__.setdefault("gatherers", OrderedDict())
    shapes = tuple([tensor.shape for tensor in tensors])
    key = (dtype, shapes)
    gatherer = gatherers.get(key)
    if gatherer is None:
        if len(gatherers) >= _MOST_GATHERERS:
            gatherers.popitem(last=False)
        gatherer = gatherers[key] = _Gatherer(dtype, shapes)
    return gatherer


def gathered(tensors: list[Any]) -> Any:
    """Small float32 tensors on the CPU, as one numpy array, in order; valid until the next call."""
    return _gatherer_for(torch.float32, tensors).fill(tensors)
