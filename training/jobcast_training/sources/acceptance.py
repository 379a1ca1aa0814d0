"""Acceptance: sheets become records. Kept rows plus rejected rows are the rows of the file, always.

A row is kept when its submission, run time and end are known and make sense; requests may be unknown but not absurd.
The first rule that a row breaks is the reason counted. A file most of whose rows are damaged is not what it says: it is
refused.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import polars as pl

from jobcast_training.records import SCHEMA, Records, SourceError
from jobcast_training.sources.lines import TEXT
from jobcast_training.sources.sheet import LINE, Reading, Rule, Sheet

REASON = "#reason"
_REFUSED_SHARE = 0.5
_YEAR_2100 = 4_102_444_800
_CENTURY = 100 * 365.25 * 86_400
_TIMES = ("start_time", "wait_time", "end_time_late")


def accept(sheet: Sheet, source: str) -> Records:
    """Records of one sheet, in the order of the file.

    Args:
        sheet: rows and how to read them.
        source: name of the file, without any folder.

    Raises:
        SourceError: more than half of the rows break the same rule on what a column should hold.
    """
    rules = [*sheet.rules, *(_legible(reading) for reading in sheet.readings)]
    judged = _judged(sheet.rows, sheet.readings, rules)
    counts = judged.group_by(REASON).agg(pl.len()).collect(engine="streaming")
    total = int(counts["len"].sum())
    rejected: Counter[str] = Counter(dict(counts.drop_nulls(REASON).sort(REASON).iter_rows()))
    notes = tuple(_evidence(sheet, rules, rejected, total, source))
    frame = judged.filter(pl.col(REASON).is_null()).select(*SCHEMA).collect(engine="streaming")
    return Records(frame, source, rejected + sheet.rejected, sheet.notes + notes, sheet.timezone)


def _judged(rows: pl.LazyFrame, readings: Sequence[Reading], rules: Sequence[Rule]) -> pl.LazyFrame:
    """Every row with the columns of the schema, and the reason it is left out, or null."""
    damage = [rule.broken.alias(f"#{index}") for index, rule in enumerate(rules)]
    given = {reading.field: reading.value for reading in readings}
    known = {**SCHEMA, **dict.fromkeys(_TIMES, pl.Float64())}
    fields = [given.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in known.items()]
    derived = rows.select(*fields, *damage).with_columns(_run_time()).with_columns(_end_time())
    verdicts = [pl.when(f"#{index}").then(pl.lit(rule.reason)) for index, rule in enumerate(rules)]
    verdicts += [pl.when(rule.broken).then(pl.lit(rule.reason)) for rule in _COMMON_RULES]
    return derived.with_columns(pl.coalesce(verdicts).alias(REASON))


def _run_time() -> pl.Expr:
    return pl.coalesce("run_time", pl.col("end_time") - pl.col("start_time"))


def _end_time() -> pl.Expr:
    """The end as given, in its later reading where the earlier one comes too soon; else start plus run time."""
    soonest = pl.col("submit_time") + pl.col("run_time")
    given = pl.when(pl.col("end_time") < soonest).then(pl.coalesce("end_time_late", "end_time"))
    started = pl.coalesce("start_time", pl.col("submit_time") + pl.col("wait_time").fill_null(0.0))
    return pl.coalesce(given, "end_time", started + pl.col("run_time")).alias("end_time")


_COMMON_RULES = (
    Rule("no submit_time", pl.col("submit_time").is_null()),
    Rule("submit_time not from 1970 to 2099", ~pl.col("submit_time").is_between(0, _YEAR_2100, closed="left")),
    Rule("no run_time", pl.col("run_time").is_null()),
    Rule("run_time not positive", pl.col("run_time") <= 0),
    Rule("run_time absurd, above 100 years", pl.col("run_time") > _CENTURY),
    Rule("processors_req not positive", pl.col("processors_req") <= 0),
    Rule("nodes_req not positive", pl.col("nodes_req") <= 0),
    Rule("gpus_req negative", pl.col("gpus_req") < 0),
    Rule("mem_req negative", pl.col("mem_req") < 0),
    Rule("wallclock_req not positive", pl.col("wallclock_req") <= 0),
    Rule("wallclock_req absurd, above 100 years", pl.col("wallclock_req") > _CENTURY),
    Rule("max_rss negative", pl.col("max_rss") < 0),
    Rule("end_time before submit_time", pl.col("end_time") < pl.col("submit_time")),
    Rule("end_time absurd, above 100 years after submit_time", pl.col("end_time") - pl.col("submit_time") > _CENTURY),
)


def _legible(reading: Reading) -> Rule:
    return Rule(f"unreadable {reading.field}", reading.unreadable, reading.column, reading.expected)


def _evidence(sheet: Sheet, rules: Sequence[Rule], rejected: Counter[str], total: int, source: str) -> Iterator[str]:
    """One sentence for each kind of damage, with the first place where it occurs."""
    for place, rule in enumerate(rules):
        if rule.column is None or not rejected[rule.reason]:
            continue
        rows = sheet.rows
        if LINE not in rows.collect_schema():
            rows = rows.with_row_index(LINE, offset=1)
        earlier = [other.broken.fill_null(value=False) for other in rules[:place]]
        own = rule.broken & ~pl.any_horizontal(*earlier) if earlier else rule.broken
        found = rows.filter(own).select(LINE, pl.col(rule.column).cast(pl.String).alias("value")).head(1)
        line, value = found.collect().row(0)
        shown = value if len(value) <= 80 else value[:77] + "..."
        where = f"{sheet.place} {line}" + (f", column {rule.column}" if rule.column != TEXT else "")
        sentence = (
            f"{source} {where}: expected {rule.expected}, got {shown!r} ({rejected[rule.reason]:,} of {total:,} rows)"
        )
        if rejected[rule.reason] > _REFUSED_SHARE * total:
            raise SourceError(f"{sentence}: most of the file cannot be read; check its format, unit and columns")
        yield sentence
