"""What each team brings, as tables of the page: the figures of ``coteach.diagnose``."""

from __future__ import annotations

from coteach.aggregation.diagnosis import Diagnosis
from coteach.reporting.tables import Column, Table

__all__ = ["diagnosis_tables"]


def diagnosis_tables(diagnosis: Diagnosis) -> list[Table]:
    """Coverage and scores, reliability, agreement, what is in reach, and F1 by attribute."""
    names = [team.name for team in diagnosis.teams]
    rows = diagnosis.rows()
    rates = ("precision", "recall", "f1")
    headings = tuple(map(Column, ("P", "R", "F1")))
    tables = [
        Table(
            "teams",
            f"Teams on the {diagnosis.split_pages} {diagnosis.split} pages "
            f"({diagnosis.gold} gold values)",
            (
                Column("team", "text"),
                *(Column(name, "count") for name in ("pages", "with value", "values")),
                *headings,
            ),
            tuple(
                tuple(row[key] for key in ("name", "pages", "pages_with_value", "values", *rates))
                for row in rows["teams"]
            ),
            ("pages, with value, values: on all pages of the task.",),
        ),
        Table(
            "reliability",
            "How far the teams can be trusted",
            (
                Column("team", "text"),
                *map(Column, ("F1", "by agreement", "Dawid–Skene")),
                Column("alone", "count"),
                Column("right"),
            ),
            tuple(
                (
                    team.name,
                    team.f1_processed,
                    team.f1_by_agreement,
                    team.f1_by_dawid_skene,
                    team.alone,
                    team.alone_right / team.alone if team.alone else None,
                )
                for team in diagnosis.teams
            ),
            (
                f"F1: on the {diagnosis.split} pages that the team processed; beside it the same "
                "without gold, by agreement and by Dawid and Skene's model. alone: its values that "
                "no other team has; right: the share of them that is right.",
            ),
        ),
    ]
    if len(names) > 1:
        tables.append(
            Table(
                "agreement",
                "Agreement: F1 of one team with the other as gold",
                (Column("team", "text"), *map(Column, names)),
                tuple(
                    (name, *(None if other == name else row[other] for other in names))
                    for name, row in zip(names, rows["agreement"], strict=True)
                ),
                (f"On {diagnosis.agreement_on}.",),
            )
        )
    tables.append(
        Table(
            "combined",
            "The teams together",
            (Column("system", "text"), Column("values", "count"), *headings),
            tuple(
                (row["system"], row["predicted"], *(row[key] for key in rates))
                for row in rows["combined"]
            ),
            ("vote>=1 is the union; oracle: its right values alone.",),
        )
    )
    if diagnosis.attributes:
        tables.append(
            Table(
                "diagnosis_attributes",
                "F1 by attribute",
                (
                    Column("attribute", "text"),
                    Column("gold", "count"),
                    *map(Column, [*names, *diagnosis.combined]),
                ),
                tuple(
                    (
                        attribute,
                        next(iter(scores.values())).gold,
                        *(scores[name].f1 for name in [*names, *diagnosis.combined]),
                    )
                    for attribute, scores in diagnosis.attributes.items()
                ),
            )
        )
    return tables
