"""One file a framework. Each imports its framework, so import the one that you use."""
