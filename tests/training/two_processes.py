"""What ``test_processes`` starts in each of several processes: a few exact steps of the loop.

Arguments: the recipe, and a folder for the run and, on the main process, ``found.safetensors``.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from accelerate import PartialState
from safetensors.torch import save_file
from tiny_loop import Loop, exactly, parameters

from coteach.recipe import load_recipe
from coteach.training.prepare import load_data

recipe = load_recipe(sys.argv[1])
folder = Path(sys.argv[2])
progress, prepared, kept = Loop(recipe, load_data(recipe))(
    folder,
    optimisation={"epochs": 1.5, "batch_size": 4, "clip_norm": 0.1},
    selection={"by": "score"},
    change=exactly,
)
world = PartialState()
if world.is_main_process:
    facts = {"processes": str(world.num_processes), "progress": str(asdict(progress))}
    save_file(parameters(prepared), folder / "found.safetensors", metadata=facts)
world.destroy_process_group()
