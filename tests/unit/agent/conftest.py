"""Boxes that tests leave open are closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.agent.boxes import close_boxes


@pytest.fixture(autouse=True)
def _no_box_stays_open() -> Iterator[None]:
    yield
    close_boxes()
