"""The wire and disk format that agent and daemon share. Importing it costs nothing; see ../SPEC.md.

`limits`, `errors`, `frame`, `segment` and `control` need only the standard library and msgpack: the
agent imports those. `records` and `codec` decode, typed and bounded, and need msgspec: the daemon's half.
"""
