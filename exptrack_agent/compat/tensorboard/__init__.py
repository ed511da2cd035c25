"""Drop-in for `torch.utils.tensorboard`: change the import, keep the script.

    from exptrack_agent.compat.tensorboard import SummaryWriter

The event files appear where the script wants them, written by the daemon; the same data also goes wherever
else exptrack sends it. What becomes of each method is said in docs/integrations.md.
"""

from exptrack_agent.compat.tensorboard.writer import SummaryWriter

__all__ = ["SummaryWriter"]
