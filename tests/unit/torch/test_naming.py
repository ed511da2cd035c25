"""Names of parameters, whatever is wrapped around a model."""

from __future__ import annotations

import torch

from exptrack_agent.torch.naming import metric_name, named_parameters, plain_name, unwrapped


class Wrapped(torch.nn.Module):
    """A user's own module called `module`: no wrapper of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.module = torch.nn.Linear(2, 2)


def test_wrappers_are_taken_off_in_any_order():
    model = torch.nn.Linear(2, 2)
    compiled = torch.compile(
        torch.nn.DataParallel(torch.compile(model, backend="eager")), backend="eager"
    )
    assert unwrapped(compiled) is model


def test_a_users_own_module_of_that_name_stays():
    names = [name for name, _ in named_parameters(Wrapped())]
    assert names == ["module.weight", "module.bias"]


def test_what_stands_inside_a_name_is_taken_out():
    assert plain_name("layers.0._orig_mod.fc._fsdp_wrapped_module.weight") == "layers.0.fc.weight"


def test_a_metric_name_is_never_too_long():
    assert metric_name("gradients/norm", "fc._orig_mod.weight") == "gradients/norm/fc.weight"
    assert len(metric_name("gradients/norm", "x" * 5_000)) == 1_024


def test_parameters_without_names_are_numbered():
    one, two = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    assert list(named_parameters([one, two])) == [("0", one), ("1", two)]
    assert list(named_parameters(iter([("a", one)]))) == [("a", one)]
    assert list(named_parameters(one)) == [("0", one)]
