"""Taking frames: check, append to the run's journal, commit, acknowledge. Nothing else happens here."""
