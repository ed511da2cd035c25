"""From the journal to a sink: read from the cursor, write, settle, advance. One loop for every sink."""
