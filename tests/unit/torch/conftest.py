"""Torch in tests: one thread, one seed, and a run that keeps what it is given."""

from __future__ import annotations

import pytest
import torch

from tests.unit.torch.recording_run import RecordingRun


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(7)


@pytest.fixture
def run() -> RecordingRun:
    return RecordingRun()
