"""Watching the machine and the training processes; what is seen becomes `system/…` rows of each live run."""
