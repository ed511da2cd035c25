"""Pictures of runs, drawn from a home folder: `python -m exptrack_daemon.plots RUN -o FILE.png`."""
