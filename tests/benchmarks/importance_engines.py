"""What an importance-transfer step costs in time and memory, by engine and nodes: ratios.

    python tests/benchmarks/importance_engines.py [--encoder NAME_OR_FOLDER] [--layers 4]

A plain step is forward, backward and AdamW on a batch of texts of one length, with a class head.
The others add the importance loss on Integrated Gradients with m nodes: by our engines, and by
captum's ``LayerIntegratedGradients`` with ``create_graph``, whose gradient does not reach the
embeddings.

Time: contestants take turns in one process; the first round of each is thrown away, and the medians
of the others are compared with the plain step's. Memory: each contestant runs alone in a process of
its own, and its peak is compared with the plain step's, both above what the process held before
there was a model: weights, gradients, AdamW's state and everything between forward and backward. On
a CPU the allocator is told to give back what is freed, so that the peak is what the tensors need.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from training import medians
from transformers import AutoConfig
from transformers.utils import logging

from coteach.attribution import IntegratedGradients, SpecialTokens, Targets, attribute
from coteach.losses.importance import ImportanceJaccard
from coteach.model import Student, StudentConfig

PLAIN, CAPTUM = "plain", "captum"
ENGINES = ("graph", "two_pass", "finite_difference", CAPTUM)
CLASSES = ["positive", "neutral", "negative"]
TOKENS = SpecialTokens(padding=0, mask=None, kept=(0, 2, 3))
STEPS = 3  # of a process whose memory is measured: AdamW's state is there after the first
AT_ONCE = 1 << 18  # bytes; larger blocks go back to the system when they are freed


def goals(engine: str, nodes: int) -> tuple[float, float]:
    """Plain steps, and plain steps' memory, that a step may cost; infinite where none is set."""
    if engine == "graph":
        return 2 * nodes + 1, float("inf")
    if engine == CAPTUM:
        return float("inf"), float("inf")
    return 2.7 * nodes + 1, 1.5


def make_student(options: argparse.Namespace) -> Student:
    """A student that classifies, in training mode, with the first layers of an encoder."""
    config = StudentConfig(classes=CLASSES)
    if options.encoder is not None:
        fewer = {} if options.layers is None else {"num_hidden_layers": options.layers}
        student = Student.from_encoder(options.encoder, config, **fewer)
    else:
        config.encoder = AutoConfig.for_model(
            "bert",
            vocab_size=options.vocabulary,
            hidden_size=options.width,
            num_hidden_layers=options.layers or 12,
            num_attention_heads=12,
            intermediate_size=4 * options.width,
        ).to_dict()
        student = Student(config)
    return student.to(options.device).train()


def make_steps(options: argparse.Namespace) -> Callable[[str, int], None]:
    """A function that takes one step with an engine and a number of nodes."""
    torch.manual_seed(0)
    student = make_student(options)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-6)
    shape = (options.batch_size, options.length)
    vocabulary = student.config.encoder_config().vocab_size
    ids = torch.randint(5, vocabulary, shape, device=options.device)
    ids[:, 0], ids[:, -1] = TOKENS.kept[1], TOKENS.kept[2]
    mask = torch.ones_like(ids)
    classes = torch.randint(0, len(CLASSES), shape[:1], device=options.device)
    teacher = torch.rand(shape, device=options.device) / 10
    targets, loss = Targets.of_classes(classes), ImportanceJaccard()

    def probabilities(ids: Tensor, mask: Tensor) -> Tensor:
        return student(ids, mask).logits.softmax(dim=-1)

    def captum_scores(nodes: int) -> Tensor:
        student.eval()
        baseline = torch.where(TOKENS.are_content(ids), TOKENS.padding, ids)
        explainer = LayerIntegratedGradients(probabilities, student.get_input_embeddings())
        with sdpa_kernel(SDPBackend.MATH):
            values = explainer.attribute(
                ids,
                baselines=baseline,
                target=classes,
                additional_forward_args=(mask,),
                n_steps=nodes,
                grad_kwargs={"create_graph": True},
            )
        student.train()
        return values.norm(dim=-1)

    def step(engine: str, nodes: int) -> None:
        total = nn.functional.cross_entropy(student(ids, mask).logits, classes)
        if engine == CAPTUM:
            scores = captum_scores(nodes)
        elif engine != PLAIN:
            settings = IntegratedGradients(nodes=nodes)
            scores = attribute(
                student, ids, mask, targets, settings, TOKENS, engine, completeness=False
            ).scores
        if engine != PLAIN:
            total = total + loss(scores, teacher, mask > 0).mean()
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        if options.device == "cuda":
            torch.cuda.synchronize()

    return step


def peak(device: str) -> float:
    """The most memory that this process has held, in MB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def print_memory(options: argparse.Namespace) -> None:
    """Takes the steps of one contestant, and prints what they needed."""
    engine, nodes = options.alone
    before = peak(options.device)
    step = make_steps(options)
    for _ in range(STEPS):
        step(engine, int(nodes))
    print(peak(options.device) - before)


def memory_of(engine: str, nodes: int) -> float:
    """MB that a contestant needs, in a process of its own with this one's options."""
    command = [sys.executable, __file__, *sys.argv[1:], "--alone", engine, str(nodes)]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(AT_ONCE)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def compared(ratio: float, goal: float) -> str:
    """A ratio beside its goal."""
    if goal == float("inf"):
        return f"{ratio:6.2f} {'':10}"
    return f"{ratio:6.2f} {'≤' if ratio <= goal else '>'} {goal:<8.1f}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", help="pretrained encoder; default: a new one")
    parser.add_argument("--layers", type=int, help="use the first ones; default: all, or 12")
    parser.add_argument("--width", type=int, default=384, help="of a new encoder")
    parser.add_argument("--vocabulary", type=int, default=30_000, help="of a new encoder")
    parser.add_argument("--length", type=int, default=64, help="tokens of a text")
    parser.add_argument("--batch-size", type=int, default=16, help="texts of a step")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8], help="m")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of a contestant")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--alone", nargs=2, metavar=("ENGINE", "NODES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.alone is not None:
        print_memory(options)
        return
    chosen = [(engine, nodes) for nodes in options.nodes for engine in options.engines]
    everyone = [(PLAIN, 0), *chosen]
    megabytes = {of: memory_of(*of) for of in everyone}
    step = make_steps(options)
    contestants = {f"{of[0]} {of[1]}": lambda of=of: step(*of) for of in everyone}
    seconds = medians(contestants, options.rounds)
    plain_seconds, plain_megabytes = seconds[f"{PLAIN} 0"], megabytes[PLAIN, 0]
    name = "a new encoder" if options.encoder is None else Path(options.encoder).name
    print(
        f"{options.batch_size} texts of {options.length} tokens, {name}, "
        f"{torch.get_num_threads()} threads, {options.device}; a plain step takes "
        f"{plain_seconds:.3f} s and {plain_megabytes:.0f} MB"
    )
    print(f"{'nodes':>5}  {'engine':18} {'plain steps (goal)':20} {'memory (goal)':20}")
    for engine, nodes in chosen:
        time_goal, memory_goal = goals(engine, nodes)
        time_ratio = seconds[f"{engine} {nodes}"] / plain_seconds
        memory_ratio = megabytes[engine, nodes] / plain_megabytes
        print(
            f"{nodes:5}  {engine:18} {compared(time_ratio, time_goal):20} "
            f"{compared(memory_ratio, memory_goal)}".rstrip()
        )


if __name__ == "__main__":
    main()
