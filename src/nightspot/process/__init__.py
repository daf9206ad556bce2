"""Attempts as processes: the supervisor, its folder, identity, isolation, hooks. The supervisor imports stdlib and psutil only."""
