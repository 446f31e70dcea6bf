"""Long work on many items, cut into shards: resumable, shared by processes, joined at the end."""

from coteach.sharding.shards import Shards, lines_of
from coteach.sharding.working import carry_out, coordinate, help_with, interruptible, share

__all__ = [
    "Shards",
    "carry_out",
    "coordinate",
    "help_with",
    "interruptible",
    "lines_of",
    "share",
]
