"""A state as a tree of plain values and a list of storages, and back: what a stage holds.

The tree is JSON. None, booleans, numbers and texts stand for themselves; all else is an array that begins
with a tag:

    ["l", …] list   ["t", …] tuple   ["s", …] set   ["d", [key, value], …] dict   ["o", …] OrderedDict
    ["n", …] Counter   ["c", real, imaginary] complex   ["b", base64] bytes
    ["T", storage, dtype, shape, strides, offset] tensor   ["S", indices, values, shape, coalesced] sparse
    ["dtype", name]   ["device", name]   ["size", …] torch.Size

Dicts are pairs, since JSON would make texts of whole-number keys, and an optimizer then keeps none of its
state without a word. Each storage stands there once, so tensors that share memory still do when read.

Whatever `torch.load(weights_only=True)` would refuse is made plain here: that a file was written says nothing
about whether it can be read.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import os
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias

import torch

from exptrack_agent.errors import Misuse

Node: TypeAlias = Any
"""JSON, as above."""
_MOST_TEXT = 1_000
_SELF = frozenset([type(None), bool, int, float, str])
_OWN_DISPATCH = torch.Tensor.__torch_dispatch__


class Encoder:
    """Makes nodes of values, and collects the storages of their tensors.

    Attributes:
        storages: untyped storages, each once, on whatever device they are.
    """

    def __init__(self) -> None:
        self.storages: list[Any] = []
        self._places: dict[tuple[str, int, int], int] = {}
        self._by_type: dict[type, Callable[[Any, str], Node]] = {
            torch.Tensor: self._tensor,
            torch.nn.Parameter: self._tensor,
            dict: lambda value, at: self._pairs("d", value, at),
            OrderedDict: lambda value, at: self._pairs("o", value, at),
            Counter: lambda value, at: self._pairs("n", value, at),
            list: lambda value, at: self._items("l", value, at),
            tuple: lambda value, at: self._items("t", value, at),
            set: lambda value, at: self._items("s", value, at),
            complex: lambda value, _: ["c", value.real, value.imag],
            bytes: lambda value, _: ["b", base64.b64encode(value).decode()],
            torch.dtype: lambda value, _: ["dtype", str(value).removeprefix("torch.")],
            torch.device: lambda value, _: ["device", str(value)],
            torch.Size: lambda value, _: ["size", *value],
        }
        self._is_lenient = False

    def encode(self, value: Any, at: str) -> Node:
        """The node of a value that training goes on from.

        Args:
            value: what to encode.
            at: its name, for messages.

        Raises:
            Misuse: it holds something that cannot be read back without running code.
        """
        try:
            return self._node(value, at)
        except RecursionError:
            raise Misuse(f"{at} is nested too deep, or holds itself") from None

    def describe(self, value: Any, at: str) -> Node:
        """The node of a value that only tells about the training: what has no plain form becomes text."""
        self._is_lenient = True
        try:
            return self.encode(value, at)
        finally:
            self._is_lenient = False

    def _node(self, value: Any, at: str) -> Node:
        kind = type(value)
        if kind in _SELF:
            return value
        known = self._by_type.get(kind)
        if known is not None:
            return known(value, at)
        if isinstance(value, torch.Tensor):
            return self._tensor(value, at)
        found, plain = _plain(value)
        if found:
            return self._node(plain, at)
        if self._is_lenient:
            return _text(value)
        raise Misuse(
            f"{at} is a {kind.__module__}.{kind.__qualname__}: a checkpoint holds tensors and plain values,"
            " so that reading one runs no code; keep its numbers instead"
        )

    def _items(self, tag: str, values: Any, at: str) -> Node:
        return [tag, *(self._node(value, f"{at}[{index}]") for index, value in enumerate(values))]

    def _pairs(self, tag: str, values: Mapping[Any, Any], at: str) -> Node:
        node: list[Any] = [tag]
        for key, value in values.items():
            here = f"{at}[{key!r:.80}]" if type(key) in _SELF else f"{at}[…]"
            node.append([self._key(key, here), self._node(value, here)])
        return node

    def _key(self, key: Any, at: str) -> Node:
        if isinstance(key, (torch.Tensor, Mapping)):
            return _text(key)
        node = self._node(key, f"a key of {at}")
        return node if not isinstance(node, list) or node[0] in _HASHABLE else _text(key)

    def _tensor(self, value: Any, at: str) -> Node:
        _check(value, at)
        tensor = value.detach()
        if tensor.layout is torch.sparse_coo:
            return [
                "S",
                self._tensor(tensor._indices(), at),  # noqa: SLF001  # the public ones refuse uncoalesced
                self._tensor(tensor._values(), at),  # noqa: SLF001
                list(tensor.shape),
                tensor.is_coalesced(),
            ]
        if tensor.is_conj() or tensor.is_neg():
            tensor = tensor.resolve_conj().resolve_neg()
        place = self._place(tensor.untyped_storage())
        name = str(tensor.dtype).removeprefix("torch.")
        return ["T", place, name, list(tensor.shape), tensor.stride(), tensor.storage_offset()]

    def place_of(self, tensor: Any) -> int | None:
        """Which of the storages a tensor on the CPU stands in, if it is one of them."""
        if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
            return None
        return self._places.get(_identity(tensor.untyped_storage()))

    def _place(self, storage: Any) -> int:
        key = _identity(storage)
        if storage.nbytes() and key in self._places:
            return self._places[key]
        self._places[key] = len(self.storages)
        self.storages.append(storage)
        return len(self.storages) - 1


def _identity(storage: Any) -> tuple[str, int, int]:
    return str(storage.device), storage.data_ptr(), storage.nbytes()


def decode(node: Node, storages: Sequence[Any]) -> Any:
    """The value of a node; `storages` are torch storages on the CPU."""
    if not isinstance(node, list):
        return node
    tag, *parts = node
    if tag in _CONTAINERS:
        return _CONTAINERS[tag](decode(part, storages) for part in parts)
    if tag in _MAPPINGS:
        pairs = ((decode(key, storages), decode(value, storages)) for key, value in parts)
        return _MAPPINGS[tag](pairs)
    if tag == "T":
        return _tensor_of(storages, *parts)
    if tag == "S":
        indices, values, shape, is_coalesced = parts
        return torch.sparse_coo_tensor(
            decode(indices, storages), decode(values, storages), shape, is_coalesced=is_coalesced
        )
    return _SCALARS[tag](*parts)


def _tensor_of(  # a node's five parts
    storages: Sequence[Any],
    place: int,
    dtype: str,
    shape: list[int],
    strides: list[int],
    start: int,
) -> Any:
    tensor = torch.empty(0, dtype=getattr(torch, dtype))
    return tensor.set_(storages[place], start, shape, strides)


_HASHABLE = frozenset(["t", "c", "b", "dtype", "device", "size"])
_CONTAINERS: dict[str, Callable[[Any], Any]] = {"l": list, "t": tuple, "s": set}
_MAPPINGS: dict[str, Callable[[Any], Any]] = {
    "d": dict,
    "o": OrderedDict,
    "n": lambda pairs: Counter(dict(pairs)),
}
_SCALARS: dict[str, Callable[..., Any]] = {
    "c": complex,
    "b": base64.b64decode,
    "dtype": lambda name: getattr(torch, name),
    "device": torch.device,
    "size": lambda *numbers: torch.Size(numbers),
}


# --- what is plain ----------------------------------------------------------------------------------


def _check(tensor: Any, at: str) -> None:
    """Refuse tensors whose values do not stand in one storage that can be copied."""
    if type(tensor).__torch_dispatch__ is not _OWN_DISPATCH:
        what = f"a {type(tensor).__name__}: gather it first (`.full_tensor()`, a full state dict)"
    elif tensor.layout not in (torch.strided, torch.sparse_coo):
        what = f"a tensor of layout {tensor.layout}"
    elif tensor.is_quantized:
        what = "a quantized tensor"
    elif tensor.device.type == "meta":
        what = "a tensor without values (device meta)"
    else:
        return
    raise Misuse(f"{at} is {what}, which a checkpoint cannot hold as it is")


def _plain(value: Any) -> tuple[bool, Any]:
    """Whether there is a plainer value that says the same, and that value (one step plainer)."""
    for kind, make in _PLAINER:
        if isinstance(value, kind):
            return True, make(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return True, {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if type(value).__module__ == "numpy":
        return _plain_numpy(value)
    return False, None


_PLAINER: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (enum.Enum, lambda value: value.value),
    (bool, bool),
    (int, int),
    (float, float),
    (complex, complex),
    (str, str.__str__),
    ((bytes, bytearray), bytes),
    (OrderedDict, lambda value: OrderedDict(value.items())),
    (Mapping, lambda value: dict(value.items())),
    (tuple, lambda value: tuple(iter(value))),
    ((list, deque), list),
    (AbstractSet, set),
    (datetime.timedelta, lambda value: value.total_seconds()),
    ((datetime.date, datetime.time), lambda value: value.isoformat()),
    (os.PathLike, lambda value: str(os.fspath(value))),
)


def _plain_numpy(value: Any) -> tuple[bool, Any]:
    """Numbers as Python's, arrays as tensors where torch knows their type and as lists elsewhere."""
    if not hasattr(value, "dtype") or isinstance(value, type):
        return False, None
    if not getattr(value, "ndim", 0) and hasattr(value, "item"):
        number = value.item()
        return (True, float(number)) if type(number) is type(value) else (True, number)
    try:
        return True, torch.from_numpy(value.copy())
    except (TypeError, ValueError):  # texts, objects, dates: no tensor
        return True, value.tolist()


def _text(value: Any) -> str:
    try:
        return repr(value)[:_MOST_TEXT]
    except Exception:  # noqa: BLE001  # a user's `__repr__`
        return f"<{type(value).__qualname__}>"
