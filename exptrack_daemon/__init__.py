"""The logger daemon: intake, journal, sinks, sampler, store and command line."""
