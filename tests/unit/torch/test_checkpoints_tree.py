"""A state as a tree and storages, and back: bit for bit, ties and views too; what is not plain is made so."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import io
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.checkpoints.tree import Encoder, decode
from tests.unit.torch.checkpoints_by_hand import same


def there_and_back(value: Any, *, lenient: bool = False) -> Any:
    encoder = Encoder()
    node = (encoder.describe if lenient else encoder.encode)(value, "it")
    return decode(json.loads(json.dumps(node)), encoder.storages)


def opened_again(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


DTYPES = [
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float8_e4m3fn,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_tensor_of_any_type_comes_back_bit_for_bit(dtype: torch.dtype) -> None:
    bits = torch.randint(0, 2 if dtype is torch.bool else 256, (3, 64), dtype=torch.uint8)
    tensor = bits.view(dtype)
    assert same(there_and_back(tensor), tensor)


SHAPES = {
    "0-d": torch.tensor(3.5),
    "empty": torch.empty(0, 4),
    "transposed": torch.randn(3, 5).t(),
    "sliced": torch.randn(10, 10)[2:5, ::3],
    "expanded": torch.randn(1, 3).expand(4, 3),
    "channels last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "conjugated": torch.randn(3, dtype=torch.complex64).conj(),
    "negative": torch.randn(3, dtype=torch.complex64).conj().imag,
    "parameter": torch.nn.Parameter(torch.randn(3)).detach(),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shape_and_strides_come_back_as_they_are(name: str) -> None:
    tensor = SHAPES[name]
    back = there_and_back(tensor)
    assert same(back, tensor)
    assert tensor.is_neg() or back.stride() == tensor.stride()
    assert same(opened_again(back), tensor)


def test_tensors_that_share_memory_still_do() -> None:
    base = torch.randn(4, 4)
    encoder = Encoder()
    node = encoder.encode({"a": base, "tied": base, "view": base[1:3], "other": base.clone()}, "it")
    assert len(encoder.storages) == 2

    back = opened_again(decode(node, encoder.storages))

    back["a"][1, 0] = 77
    assert back["tied"][1, 0] == 77
    assert back["view"][0, 0] == 77
    assert back["other"][1, 0] != 77


def test_two_types_over_one_memory_come_back() -> None:
    floats = torch.randn(8)
    back = there_and_back([floats, floats.view(torch.int32)])
    assert same(back, [floats, floats.view(torch.int32)])


def test_a_sparse_tensor_comes_back() -> None:
    sparse = torch.sparse_coo_tensor([[0, 2]], [1.0, 2.0], (4,), check_invariants=True)
    with torch.sparse.check_sparse_tensor_invariants():
        back = there_and_back(sparse)
    assert back.layout is torch.sparse_coo
    assert torch.equal(back.to_dense(), sparse.to_dense())


PLAIN: dict[str, Any] = {
    "whole-number keys": {0: {"step": 1}, 1: {"step": 2}, "0": 3},
    "tuple keys": {(1, "a"): 2, None: 3, True: 4, 1.5: 6},
    "nested": {"a": [1, (2, {"b": {3}}), [[]]], "t": (), "s": set()},
    "numbers": [2**80, -1, -0.0, math.inf, math.nan, 1e-320, 0.1 + 0.2, 1 + 2j],
    "texts": ["", "ä€😀", "\ud800", "a\0b", b"\0\xff"],
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
    "counter": collections.Counter({3: 1, 5: 2}),
    "torch": [torch.float32, torch.device("cuda:1"), torch.Size([1, 2])],
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_come_back_with_their_types_and_weights_only_opens_them(name: str) -> None:
    assert same(there_and_back(PLAIN[name]), PLAIN[name])
    assert same(opened_again(there_and_back(PLAIN[name])), PLAIN[name])


class Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Settings:
    rate: float
    path: Path


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


REFUSED_BY_TORCH: dict[str, tuple[Any, Any]] = {
    "np.float64": (np.float64(0.1), 0.1),
    "np.float32": (np.float32(0.5), 0.5),
    "np.longdouble": (np.longdouble(0.5), 0.5),
    "np.int64": (np.int64(7), 7),
    "np.bool_": (np.bool_(True), True),
    "np.str_": (np.str_("x"), "x"),
    "array": (np.arange(3), torch.arange(3)),
    "0-d array": (np.array(2.5), 2.5),
    "backward array": (np.arange(3)[::-1], torch.tensor([2, 1, 0])),
    "texts": (np.array(["a", "b"]), ["a", "b"]),
    "datetime": (datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), "2024-01-02T00:00:00+00:00"),
    "timedelta": (datetime.timedelta(seconds=90), 90.0),
    "path": (Path("/a/b"), "/a/b"),
    "dataclass": (Settings(0.1, Path("x")), {"rate": 0.1, "path": "x"}),
    "namedtuple": (Point(1, 2.0), (1, 2.0)),
    "enum": (Color.RED, "red"),
    "int enum": (Level.HIGH, 3),
    "defaultdict": (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "frozenset": (frozenset([1]), {1}),
    "bytearray": (bytearray(b"ab"), b"ab"),
    "numpy keys": ({np.int64(3): np.float64(1.0)}, {3: 1.0}),
}


@pytest.mark.parametrize("name", REFUSED_BY_TORCH)
def test_what_weights_only_would_refuse_is_made_plain(name: str) -> None:
    value, plain = REFUSED_BY_TORCH[name]
    assert same(opened_again(there_and_back(value)), plain)


def test_numpys_own_random_state_is_made_plain() -> None:
    back = opened_again(there_and_back(np.random.get_state()))
    assert back[0] == "MT19937"
    assert torch.equal(
        back[1].to(torch.int64), torch.from_numpy(np.random.get_state()[1].astype("int64"))
    )


def test_an_object_in_a_state_is_refused_by_name_and_in_a_description_becomes_text() -> None:
    class Schedule:
        def __repr__(self) -> str:
            return "Schedule(3)"

    with pytest.raises(Misuse, match=r"it\['a'\]\[1\] is a .*Schedule"):
        there_and_back({"a": [1, Schedule()]})
    assert there_and_back({"a": [1, Schedule()]}, lenient=True) == {"a": [1, "Schedule(3)"]}


@pytest.mark.parametrize("kind", ["meta", "csr"])
@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_tensors_without_a_storage_to_copy_are_refused(kind: str) -> None:
    tensor = torch.empty(3, device="meta") if kind == "meta" else torch.eye(3).to_sparse_csr()
    with pytest.raises(Misuse, match="it is a tensor"):
        there_and_back(tensor)


def test_what_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Misuse, match="holds itself"):
        there_and_back(endless)
