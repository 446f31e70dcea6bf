"""coteach: many systems' outputs become one model, as a graph of who teaches whom."""

__version__ = "0.1.0"
