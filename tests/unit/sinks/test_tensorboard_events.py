"""Events: the fast route's bytes are protobuf's own, and times are the items'."""

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from exptrack_daemon.sinks.tensorboard import events


def plain_event(step, time_ns, values):
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()])
    return Event(wall_time=time_ns / 1e9, step=step, summary=summary).SerializeToString()


@pytest.mark.parametrize("step", [0, 1, -5, 2**63 - 1, -(2**63)])
def test_a_refilled_shape_gives_the_bytes_of_a_fresh_event(step):
    shape = events.RowShape(["a", "ü/β", ""])
    for values in ([0.0, -0.0, 1.5], [1, True, float("inf")], [2**64 - 1, float("nan"), 1e300]):
        wanted = plain_event(step, 123_456_789, dict(zip(["a", "ü/β", ""], values, strict=True)))
        assert shape.encode(step, 123_456_789, values) == wanted


def test_a_step_of_zero_after_another_leaves_no_trace():
    shape = events.RowShape(["a"])
    shape.encode(7, 5, [3.0])
    assert shape.encode(0, 0, [0.0]) == plain_event(0, 0, {"a": 0.0})


@pytest.mark.parametrize("other", ["text", None])
def test_what_is_no_number_is_refused_by_a_shape(other):
    with pytest.raises(TypeError):
        events.RowShape(["a", "b"]).encode(0, 0, [1.0, other])


def test_the_version_event_has_the_time_it_was_given():
    event = Event.FromString(events.version_event(1_500_000_000))
    assert (event.wall_time, event.file_version) == (1.5, "brain.Event:1")


def test_a_text_is_a_string_without_dimensions():
    value = events.text("# ünder")
    assert value.tensor.string_val[0].decode() == "# ünder"
    assert not value.tensor.tensor_shape.dim
    assert value.metadata.plugin_data.plugin_name == "text"
