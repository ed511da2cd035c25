"""The graph of a model, seen in one real forward pass: which module's output went into which.

A module that calls no other module is a node. What lies between (`+`, `F.relu`, `view`) is followed
by a function mode: what a torch function returns comes from where its arguments came from. So a
branch on data, a dict as output and a module that is called twice are all fine.

The pass leaves no trace: modules are in eval mode meanwhile (by their flag, not by `eval()`, which
models override), buffers are put back, and so are all random numbers.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from exptrack_agent.torch.naming import plain_name

MOST_NODES = 5_000
_DEPTH = 6


def trace(model: Any, sample_input: Any) -> list[dict[str, Any]]:
    """Nodes `{name, op, inputs, shape}` in order of execution, from the inputs to the output."""
    arguments, keywords = unpacked(sample_input)
    recorder = _Recorder()
    with left_as_it_was(model), recorder.listening_to(model), torch.enable_grad():
        # With gradients: without them torch's encoder layers take a path that calls no module.
        for name, value in _named_inputs(arguments, keywords):
            recorder.add_node(name, "Input", [], value)
        result = model(*arguments, **keywords)
        recorder.add_node("output", "Output", recorder.sources_of(result), None)
    return recorder.nodes


def unpacked(sample_input: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A sample as arguments and keyword arguments of `forward`."""
    if isinstance(sample_input, Mapping):
        return (), dict(sample_input)
    return (sample_input if isinstance(sample_input, tuple) else (sample_input,)), {}


def _named_inputs(
    arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    for number, value in enumerate(arguments):
        yield f"input_{number}" if number else "input", value
    yield from keywords.items()


class _Recorder:
    """Hears modules called and follows tensors from one to the next."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self._sources: Any = WeakIdKeyDictionary()
        self._names: dict[int, str] = {}
        self._used: dict[str, int] = {}
        self._calls: list[tuple[int, list[str]]] = []

    @contextmanager
    def listening_to(self, model: Any) -> Iterator[None]:
        """Hooks on every module, and a mode for the functions between; all gone afterwards."""
        hooks = []
        try:
            for name, module in model.named_modules():
                self._names[id(module)] = (
                    plain_name(name).replace(".", "/") or type(module).__name__
                )
                before = module.register_forward_pre_hook(self._before, with_kwargs=True)
                after = module.register_forward_hook(self._after, with_kwargs=True)
                hooks += [before, after]
            with _Follow(self):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def add_node(self, name: str, op: str, inputs: list[str], output: Any) -> None:
        """One more node; what it returns comes from it from now on."""
        times = self._used[name] = self._used.get(name, 0) + 1
        name = f"{name}_{times - 1}" if times > 1 else name
        tensors = list(_tensors_in(output))
        shape = list(tensors[0].shape) if tensors else None
        if len(self.nodes) < MOST_NODES:
            self.nodes.append({"name": name, "op": op, "inputs": inputs, "shape": shape})
        for tensor in tensors:
            self._sources[tensor] = (name,)

    def sources_of(self, value: Any) -> list[str]:
        """The nodes that the tensors in a value come from."""
        found: dict[str, None] = {}
        for tensor in _tensors_in(value):
            found.update(dict.fromkeys(self._sources.get(tensor, ())))
        return list(found)

    def passed_on(self, arguments: Any, result: Any) -> None:
        """A torch function made `result` from `arguments`."""
        sources = tuple(self.sources_of(arguments))
        if sources:
            for tensor in _tensors_in(result):
                self._sources[tensor] = sources

    def _before(self, _module: Any, arguments: Any, keywords: Any) -> None:
        self._calls.append((len(self.nodes), self.sources_of((arguments, keywords))))

    def _after(self, module: Any, arguments: Any, _keywords: Any, output: Any) -> Any:
        nodes_before, inputs = self._calls.pop()
        if len(self.nodes) != nodes_before:
            return output
        if any(output is argument for argument in arguments) and isinstance(output, torch.Tensor):
            output = output.view_as(
                output
            )  # Dropout in eval mode: who uses its input goes on doing so
        self.add_node(self._names[id(module)], type(module).__name__, inputs, output)
        return output


class _Follow(TorchFunctionMode):  # type: ignore[misc]  # torch has no types here
    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, function: Any, _types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        result = function(*arguments, **(keywords or {}))
        self._recorder.passed_on((arguments, keywords), result)
        return result


def _tensors_in(value: Any, depth: int = 0) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif depth > _DEPTH:
        return
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors_in(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_in(item, depth + 1)


# --- no trace left --------------------------------------------------------------------------------


@contextmanager
def left_as_it_was(model: Any) -> Iterator[None]:
    """Eval mode inside; afterwards flags, buffers and random numbers are what they were."""
    flags = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    with _random_numbers_kept(model):
        try:
            for module, _ in flags:
                module.training = False
            yield
        finally:
            for module, flag in flags:
                module.training = flag
            with torch.no_grad():
                for buffer, kept in buffers:
                    if not torch.equal(buffer, kept):
                        buffer.copy_(kept)


@contextmanager
def _random_numbers_kept(model: Any) -> Iterator[None]:
    devices = {parameter.device for parameter in model.parameters()}
    cuda = sorted({device.index or 0 for device in devices if device.type == "cuda"})
    numpy = sys.modules.get("numpy")
    python_state = random.getstate()
    numpy_state = numpy.random.get_state() if numpy is not None else None
    try:
        with torch.random.fork_rng(devices=cuda):
            yield
    finally:
        random.setstate(python_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
