"""Checkpoints that training does not wait for, and that survive its death. Importing it imports torch."""

from exptrack_agent.torch.checkpoints.checkpoints import Checkpoints
from exptrack_agent.torch.checkpoints.export import export_safetensors
from exptrack_agent.torch.checkpoints.files import Checkpoint, CheckpointDamaged

__all__ = ["Checkpoint", "CheckpointDamaged", "Checkpoints", "export_safetensors"]
