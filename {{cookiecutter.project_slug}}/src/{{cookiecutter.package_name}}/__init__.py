"""A service around one agent; `entrypoints` starts it, `agent` is what it is for."""
