"""Images and texts under their names."""

from __future__ import annotations

import numpy as np
import pytest

from exptrack_agent.media import Image
from exptrack_agent.tracker.shown import DrawnPicture, named_images, named_texts


@pytest.mark.parametrize("batch", [np.zeros((3, 4, 4, 3)), [np.zeros((4, 4))] * 3])
def test_a_batch_becomes_several_images(batch):
    assert list(named_images("b", batch, "")) == ["b/0", "b/1", "b/2"]


def test_of_a_large_batch_the_first_sixteen():
    assert len(named_images("b", np.zeros((99, 4, 4, 3)), "")) == 16


def test_one_image_is_itself():
    image = Image([[0.0]])
    assert named_images({"a": image}, None, "") == {"a": image}
    assert list(named_images("a", [[0.1, 0.2], [0.3, 0.4]], "")) == ["a"]


def test_texts():
    assert {name: text.text for name, text in named_texts({"a": 1}, "").items()} == {"a": "1"}


def test_a_drawn_picture_is_a_figure():
    (item,) = DrawnPicture(b"\x89PNG\r\n\x1a\nrest").items("n", 3, 4)
    assert (item["figure"], item["format"], item["step"]) == (True, "png", 3)
