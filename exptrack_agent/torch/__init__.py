"""For PyTorch: gradients, stability, throughput, architecture, ranks. Importing it imports torch.

Nothing here waits for a device, and nothing is imported by `import exptrack_agent`.
"""

from exptrack_agent.torch.architecture import describe, log_architecture
from exptrack_agent.torch.distributed import init_distributed
from exptrack_agent.torch.gradients import clip_gradients, log_gradients
from exptrack_agent.torch.incidents import Incident, NumericalInstability
from exptrack_agent.torch.ranks import is_main, rank_identity
from exptrack_agent.torch.stability import StabilityMonitor
from exptrack_agent.torch.throughput import StepTimer
from exptrack_agent.torch.watch import Watch, watch

__all__ = [
    "Incident",
    "NumericalInstability",
    "StabilityMonitor",
    "StepTimer",
    "Watch",
    "clip_gradients",
    "describe",
    "init_distributed",
    "is_main",
    "log_architecture",
    "log_gradients",
    "rank_identity",
    "watch",
]
