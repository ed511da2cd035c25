"""Where the journal is projected to: one file a sink, found by entry point `exptrack.sinks`."""
