"""What the heads cost, and how fast the loop is: ratios on this machine.

    python tests/benchmarks/training.py [--encoder NAME_OR_FOLDER] [--pages FOLDER] [--bf16]

Step time: forward, backward and AdamW step of a student with nine teacher heads and an output
head of 25 attributes each, under the co-teaching objective, against the same encoder alone.

Throughput: one pass over the same windows of real pages by our loop's steps and by a plain
``transformers.Trainer`` at its defaults; the same encoder, batch size, precision and optimiser
settings. The Trainer has one token-classification head, ours two. Contestants take turns; the
first round of each is thrown away, and the medians of the others are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import Accelerator
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
)

from coteach.data.batches import plan_epoch
from coteach.data.collator import Collator
from coteach.data.page_folder import PageFolder
from coteach.data.pages import Annotations
from coteach.data.windowed import build_windows
from coteach.graph import CoTeaching, Edge, WeightedSum
from coteach.graph.build import StudentGraph
from coteach.graph.bundles import Bundle
from coteach.graph.gates import Step
from coteach.model import Student, StudentConfig
from coteach.model.alignment import Aligner
from coteach.recipe import Optimisation
from coteach.training.loop import train_step
from coteach.training.optimizers import build_optimizer

EXAMPLE = Path(__file__).parents[2] / "data" / "example"
TEAMS = [f"team{number}" for number in range(1, 10)]
BATCH_SIZE = 16


def medians(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each contestant over ``rounds``, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def make_student(
    encoder: str | None, vocabulary: int, teams: list[str], attributes: int
) -> Student:
    """A student with a head per team and an output head, all on the last layer."""
    heads = [{"name": name, "layer": -1} for name in [*teams, "output"]]
    config = StudentConfig(attributes=[f"attribute {n}" for n in range(attributes)], heads=heads)
    if encoder is not None:
        return Student.from_encoder(encoder, config)
    config.encoder = AutoConfig.for_model(
        "bert",
        vocab_size=vocabulary,
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=1536,
    ).to_dict()
    return Student(config)


def step_time(options: argparse.Namespace, vocabulary: int) -> None:
    """Prints the ratio of a step with 9 × 25 heads to a step of the bare encoder."""
    attributes, length = 25, options.length
    student = make_student(options.encoder, vocabulary, TEAMS, attributes)
    bare = make_student(options.encoder, vocabulary, [], 1).encoder
    accelerator = Accelerator(mixed_precision="bf16" if options.bf16 else "no")
    sources = [*TEAMS, "gold"]
    windowed = SimpleNamespace(
        sources=tuple(sources),
        attributes=tuple(student.config.attributes),
        classes=0,
        class_counts=lambda _: torch.tensor([[1000, 10, 30]] * attributes),
    )
    ones = torch.ones(len(TEAMS), attributes).numpy()
    bundles = {
        "teams": Bundle(tuple(Annotations(name) for name in TEAMS), tuple(TEAMS), ones),
        "gold": Bundle((Annotations("gold"),), ("output",), ones[:1]),
    }
    edges = {"teams": Edge("teams", "student"), "gold": Edge("gold", "student")}
    graph = StudentGraph(student, edges, CoTeaching(), bundles, windowed)  # type: ignore[arg-type]
    ids = torch.randint(5, vocabulary, (BATCH_SIZE, length))
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.randint(0, 3, (BATCH_SIZE, length, len(sources), attributes)).to(
            torch.int8
        ),
    }
    ours, our_optimizer = accelerator.prepare(student, build_optimizer(student, Optimisation()))
    graph.to(accelerator.device)
    theirs, their_optimizer = accelerator.prepare(bare, build_optimizer(bare, Optimisation()))
    theirs.train()
    ours.train()

    def with_heads() -> None:
        train_step(ours, graph, [batch], accelerator, Step(0.0))
        our_optimizer.step()
        our_optimizer.zero_grad()

    def encoder_alone() -> None:
        inputs = {k: batch[k].to(accelerator.device) for k in ("input_ids", "attention_mask")}
        accelerator.backward(theirs(**inputs).last_hidden_state.float().mean())
        their_optimizer.step()
        their_optimizer.zero_grad()

    seconds = medians({"with heads": with_heads, "encoder": encoder_alone}, options.rounds)
    print(
        f"step of {BATCH_SIZE} × {length} tokens: encoder alone {seconds['encoder']:.3f} s, with "
        f"10 heads × 25 attributes {seconds['with heads']:.3f} s, ratio "
        f"{seconds['with heads'] / seconds['encoder']:.3f}"
    )


def throughput(options: argparse.Namespace, tokenizer: Any) -> None:
    """Prints the ratio of windows a second, our loop to the Trainer."""
    pages = PageFolder(options.pages)
    chosen = list(pages)[: options.windows]
    team = Annotations("team1")
    window = min(510, getattr(tokenizer, "model_max_length", 512) - 2)
    with tempfile.TemporaryDirectory() as cache:
        windowed = build_windows(
            pages, chosen, [team], ["attribute 0"], Aligner(tokenizer), window, 50, Path(cache)
        )
        rows = windowed.rows[: options.windows]["input_ids"]
        rows = [[tokenizer.cls_token_id, *ids, tokenizer.sep_token_id] for ids in rows]
        lengths = [len(ids) for ids in windowed.rows["input_ids"]][: options.windows]
        print(f"{len(rows)} windows, {sum(lengths) / len(lengths):.0f} tokens on average")

        student = make_student(options.encoder, len(tokenizer), ["team1"], 1)
        bundle = Bundle((team,), ("team1",), torch.ones(1, 1).numpy())
        edges = {"teams": Edge("teams", "student")}
        graph = StudentGraph(student, edges, WeightedSum(), {"teams": bundle}, windowed)
        accelerator = Accelerator(mixed_precision="bf16" if options.bf16 else "no")
        model, optimizer = accelerator.prepare(student, build_optimizer(student, Optimisation()))
        graph.to(accelerator.device)
        collate = Collator(windowed, tokenizer)

        def ours() -> None:
            # A Trainer resets the state that accelerators share.
            accelerator = Accelerator(mixed_precision="bf16" if options.bf16 else "no")
            model.train()
            for step in plan_epoch(lengths, BATCH_SIZE, 1, seed=0, epoch=0):
                batch = collate([windowed.rows[row] for row in step[0]])
                train_step(model, graph, [batch], accelerator, Step(0.0))
                optimizer.step()
                optimizer.zero_grad()

        if options.encoder is not None:
            plain = AutoModelForTokenClassification.from_pretrained(
                options.encoder, num_labels=3, dtype=torch.float32
            )
        else:
            encoder_config = student.config.encoder_config()
            encoder_config.num_labels = 3
            plain = AutoModelForTokenClassification.from_config(encoder_config)
        data = Dataset.from_dict({"input_ids": rows, "labels": [[0] * len(ids) for ids in rows]})
        arguments = TrainingArguments(
            output_dir=cache,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH_SIZE,
            bf16=options.bf16,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
        )

        def theirs() -> None:
            Trainer(
                model=plain,
                args=arguments,
                train_dataset=data,
                data_collator=DataCollatorForTokenClassification(tokenizer),
            ).train()

        seconds = medians({"coteach": ours, "Trainer": theirs}, options.rounds)
        print(
            f"windows a second: coteach {len(rows) / seconds['coteach']:.1f}, Trainer "
            f"{len(rows) / seconds['Trainer']:.1f}, ratio "
            f"{seconds['Trainer'] / seconds['coteach']:.2f}"
        )


def main() -> None:
    """Prints both ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", help="pretrained encoder; default: a new one, 12 × 384")
    parser.add_argument("--pages", type=Path, default=EXAMPLE / "plain" / "Castle")
    parser.add_argument("--windows", type=int, default=256, help="windows of a pass")
    parser.add_argument("--length", type=int, default=128, help="tokens of the step-time batch")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of a contestant")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.encoder or str(EXAMPLE / "tokenizer"))
    step_time(options, len(tokenizer))
    throughput(options, tokenizer)


if __name__ == "__main__":
    main()
