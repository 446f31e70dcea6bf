"""Recipes: one module a run. ``python -m coteach.train recipes.NAME``."""
