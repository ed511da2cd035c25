"""What a model is said to be, and that looking at it leaves no trace."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import torch

from exptrack_agent.torch.architecture import MOST_ROWS, describe, log_architecture, put_graph
from exptrack_agent.torch.graph import trace
from tests.unit.torch.recording_run import RecordingRun


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.drop = torch.nn.Dropout(0.5)
        self.twice = torch.nn.Conv2d(8, 8, 1)
        self.head = torch.nn.Linear(8, 2)
        for parameter in self.stem.parameters():
            parameter.requires_grad_(False)

    def forward(self, x: Any) -> Any:
        y = torch.relu(self.norm(self.stem(x)))
        y = self.drop(y) + self.twice(self.twice(y))
        if y.sum() > 0:  # a branch on data
            y = y + torch.rand(1) + random.random() + np.random.rand()
        return {"scores": self.head(y.mean((2, 3)))}


SAMPLE = torch.ones(2, 3, 4, 4)


def by_name(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in nodes}


def test_numbers_are_those_of_the_parameters():
    model = Net()
    found = describe(model)
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["trainable"] == found["parameters"] - (8 * 27 + 8)
    assert found["bytes"] == 4 * found["parameters"]
    assert found["buffers_bytes"] == sum(b.numel() * b.element_size() for b in model.buffers())
    assert (found["nodes"], found["flops"], found["notes"]) == (None, None, [])


def test_the_table_has_a_row_for_each_parameter():
    text = describe(Net())["text"]
    assert "| stem.weight | 8 × 3 × 3 × 3 | float32 | 216 | 864 | no |" in text
    assert "| head.bias | 2 | float32 | 2 | 8 | yes |" in text
    assert text.count("\n|") == 2 + len(list(Net().parameters()))


def test_the_graph_follows_branches_sums_and_modules_called_twice():
    nodes = by_name(describe(Net(), SAMPLE)["nodes"])
    assert list(nodes) == ["input", "stem", "norm", "drop", "twice", "twice_1", "head", "output"]
    assert nodes["stem"] == {
        "name": "stem",
        "op": "Conv2d",
        "inputs": ["input"],
        "shape": [2, 8, 4, 4],
    }
    assert nodes["drop"]["inputs"] == nodes["twice"]["inputs"] == ["norm"]
    assert nodes["twice_1"]["inputs"] == ["twice"]
    assert sorted(nodes["head"]["inputs"]) == ["drop", "twice_1"]
    assert nodes["output"]["inputs"] == ["head"]


def test_attention_is_a_node_and_encoder_layers_are_looked_into():
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    nodes = by_name(trace(torch.nn.TransformerEncoder(layer, 1), torch.ones(1, 5, 16)))
    assert nodes["layers/0/self_attn"]["op"] == "MultiheadAttention"
    assert sorted(nodes["layers/0/norm1"]["inputs"]) == ["input", "layers/0/dropout1"]


@pytest.mark.parametrize("sample", [(SAMPLE, SAMPLE), {"a": SAMPLE, "b": SAMPLE}])
def test_several_inputs_by_place_or_by_name(sample: Any):
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = torch.nn.Identity()

        def forward(self, a: Any, b: Any) -> Any:
            return self.one(a) + b

    nodes = trace(Two(), sample)
    assert [node["op"] for node in nodes] == ["Input", "Input", "Identity", "Output"]
    assert len(nodes[-1]["inputs"]) == 2


def test_looking_leaves_no_trace():
    model = Net()
    model.drop.eval()
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    modes = [module.training for module in model.modules()]
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())
    describe(model, SAMPLE, flops=True)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]
    assert [module.training for module in model.modules()] == modes
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, buffers[name])
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_buffers_that_a_model_changes_itself_are_put_back():
    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return x

    model = Counting()
    describe(model, torch.ones(1))
    assert float(model.calls) == 0


def test_a_graph_that_cannot_be_had_is_a_note():
    found = describe(Net(), torch.ones(2, 5))
    assert found["nodes"] is None
    assert "the graph could not be found: RuntimeError" in found["notes"][0]
    assert found["notes"][0] in found["text"]
    assert not any(m._forward_hooks for m in Net().modules())


def test_a_lazy_model_is_described_without_a_pass():
    model = torch.nn.LazyLinear(3)
    found = describe(model, torch.ones(2, 4))
    assert "lazy" in found["notes"][0]
    assert model.has_uninitialized_params()
    assert found["parameters"] == 0


def test_flops_are_those_of_matrix_products():
    found = describe(torch.nn.Linear(10, 20), torch.ones(3, 10), flops=True)
    assert found["flops"] == 2 * 3 * 10 * 20


def test_a_huge_model_gets_a_table_that_says_what_it_leaves_out():
    model = torch.nn.ParameterList(
        [torch.nn.Parameter(torch.ones(1)) for _ in range(MOST_ROWS + 5)]
    )
    text = describe(model)["text"]
    assert "… 5 more" in text


def test_wrappers_are_looked_through():
    compiled = torch.compile(Net(), backend="eager")
    found = describe(torch.nn.DataParallel(compiled), SAMPLE)
    assert found["class"] == "Net"
    assert "stem" in by_name(found["nodes"])


def test_what_is_recorded(run: RecordingRun):
    found = log_architecture(run, Net(), SAMPLE)
    ((step, row),) = run.rows
    assert step == 0
    assert row["architecture"].text == found["text"]
    (item,) = run.items
    assert item["kind"] == "graph"
    assert json.loads(item["nodes"]) == found["nodes"]
    assert run.summary == {
        "architecture/parameters": found["parameters"],
        "architecture/trainable": found["trainable"],
        "architecture/bytes": found["bytes"],
    }


def test_a_graph_too_large_for_one_item_is_left_out(run: RecordingRun):
    node = {"name": "n" * 1_000, "op": "Linear", "inputs": [], "shape": None}
    assert not put_graph(run, [node] * 1_000)
    assert run.items == []


def test_a_fault_of_recording_does_not_reach_training(run: RecordingRun, monkeypatch: Any):
    monkeypatch.setattr(run, "log", lambda *_, **__: 1 / 0)
    log_architecture(run, Net())
