"""The chat's domain: rooms, messages and policy. Pure: no I/O, no third-party import."""
