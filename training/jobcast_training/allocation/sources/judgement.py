"""Judgement of rows: which are left out, for which reason, and when a file is not what it should be.

The first rule that a row breaks is the reason counted: kept rows plus rows left out are the rows of the file, always.
"""

from dataclasses import dataclass

import polars as pl

from jobcast_training.allocation.records import RecordError
from jobcast_training.allocation.sources.rawtable import RawTable

_REFUSED_SHARE = 0.5


@dataclass(frozen=True)
class Rule:
    """A reason to leave a row out.

    Attributes:
        reason: names the value of the record and the rule.
        broken: true for a row to leave out; null counts as false.
        column: of the file, quoted as evidence; "" = none is.
        expected: what the column should hold.
        damage: whether the rule speaks of a damaged file: one most of whose rows break it is refused.
        names_value: whether the reason names the first value that breaks it.
    """

    reason: str
    broken: pl.Series
    column: str = ""
    expected: str = ""
    damage: bool = True
    names_value: bool = False


@dataclass(frozen=True)
class Verdict:
    """What becomes of the rows of a file.

    Attributes:
        kept: bool, one a row.
        rejected: number of rows by reason.
        values: by reason, the first value that breaks it, of rules that name it.
        notes: one sentence for each damage, with the first place where it is.
    """

    kept: pl.Series
    rejected: dict[str, int]
    values: dict[str, str]
    notes: tuple[str, ...]


def judge(table: RawTable, rules: list[Rule]) -> Verdict:
    """Judge every row of a table by rules in order.

    Raises:
        RecordError: more than half of the rows break the same rule on what a column should hold.
    """
    broken = pl.DataFrame([rule.broken.alias(str(place)) for place, rule in enumerate(rules)])
    first = pl.coalesce(pl.when(pl.col(str(place))).then(pl.lit(place)) for place in range(len(rules)))
    verdict = broken.select(first.alias("rule"), row=pl.int_range(pl.len()))
    found = verdict.drop_nulls("rule").group_by("rule").agg(rows=pl.len(), row=pl.col("row").min()).sort("rule")
    rejected: dict[str, int] = {}
    values: dict[str, str] = {}
    notes = []
    for place, rows, row in found.iter_rows():
        rule = rules[place]
        rejected[rule.reason] = rejected.get(rule.reason, 0) + rows
        if rule.names_value:
            values.setdefault(rule.reason, str(table.frame[rule.column][row]))
        if rule.damage:
            sentence = _sentence(table, rule, rows, row)
            if rows > _REFUSED_SHARE * table.frame.height:
                raise RecordError(f"{sentence}: most of the file breaks this rule; check its columns and their units")
            notes.append(f"{table.source} {sentence}.")
    return Verdict(verdict["rule"].is_null(), rejected, values, tuple(notes))


def _sentence(table: RawTable, rule: Rule, rows: int, row: int) -> str:
    place = table.column(rule.column).at(row) if rule.column else f"{table.place} {row + table.first}"
    expected = f", expected {rule.expected}" if rule.expected else ""
    return f"{place}: {rule.reason}{expected} ({rows:,} of {table.frame.height:,} rows)"
