"""The durable journal of one run: segments of frames, each checked, chained and never deleted unseen."""
