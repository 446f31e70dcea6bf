"""Search over a recipe's fields: the grid, the study that remembers, the processes that run it."""

from coteach.searching.space import Grid

__all__ = ["Grid"]
