"""Too much, too little or fitting: arithmetic on an answer made by hand."""

from dataclasses import replace

import pytest
from jobcast_ui.amounts import amount, clock, figure, percent, plain
from jobcast_ui.answer import Answer, Chance
from jobcast_ui.verdict import in_words, judge

ANSWER = Answer(
    unit="s", levels=(0.1, 0.5, 0.9), quantiles=(60.0, 600.0, 3600.0), point=600.0, interval=(60.0, 3600.0),
    interval_levels=(0.1, 0.9), limit=3600.0, limit_level=0.9, request=7200.0, nodes=4.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "chance"),
    [
        (30.0, Chance(0.9, "at least")),
        (60.0, Chance(0.9)),
        (330.0, Chance(0.7)),
        (600.0, Chance(0.5)),
        (2100.0, Chance(0.3)),
        (3600.0, Chance(0.1)),
        (3601.0, Chance(0.1, "at most")),
    ],
)
def test_the_chance_to_need_so_much_is_linear_between_quantiles_and_a_bound_beyond(value, chance):
    found = ANSWER.above(value)
    assert (found.share, found.bound) == (pytest.approx(chance.share), chance.bound)


def test_quantiles_that_lie_on_the_request_count_as_needing_all_of_it():
    capped = replace(ANSWER, quantiles=(60.0, 600.0, 600.0), limit=600.0, request=600.0)
    assert capped.above(600.0).share == 0.5
    assert judge(capped).kind == "under"
    fitting = replace(ANSWER, quantiles=(60.0, 300.0, 600.0), limit=600.0, request=600.0)
    assert judge(fitting).kind == "fits"


@pytest.mark.parametrize(
    ("request_", "kind"),
    [(7200.0, "over"), (3790.0, "over"), (3780.0, "fits"), (3600.0, "fits"), (3599.0, "under"), (100.0, "under")],
)
def test_a_request_is_judged_against_the_suggestion(request_, kind):
    verdict = judge(replace(ANSWER, request=request_))
    assert verdict.kind == kind
    assert verdict.saving == request_ - 3600.0


def test_savings_are_node_hours_of_a_time_and_gib_hours_of_an_amount_held():
    verdict = judge(ANSWER)
    assert (verdict.cost, verdict.cost_unit) == (4.0, "node-hours")
    assert judge(replace(ANSWER, nodes=None)).cost is None
    memory = replace(ANSWER, unit="GiB", allocation=1000.0, request=1500.0, nodes=None)
    assert judge(memory).cost is None
    assert (judge(memory, 1.5).cost, judge(memory, 1.5).cost_unit) == (750.0, "GiB-hours")


def test_nothing_is_judged_where_nothing_is_requested():
    assert judge(replace(ANSWER, request=None)) is None
    assert judge(replace(ANSWER, request=0.0)) is None


def test_the_words_hold_every_figure():
    assert in_words(judge(ANSWER)) == (
        "**Overestimation.** 2:00:00 (7,200 s) is requested, 1:00:00 (3,600 s) is suggested: 1:00:00 (3,600 s) less, "
        "50 % of the request, **4.000 node-hours**. The chance that the job needs all of the request, or more, is "
        "at most **10 %**."
    )
    assert in_words(judge(replace(ANSWER, request=600.0))) == (
        "**Underestimation.** 0:10:00 (600.0 s) is requested, 1:00:00 (3,600 s) is suggested. The chance that the job "
        "needs all of the request, or more, is **50 %**."
    )


def test_amounts_are_read_easily():
    assert [figure(value) for value in (0.1234, 12.5, 123.25, 1234.5, float("nan"))] == [
        "0.123", "12.50", "123.2", "1,234", "unknown"
    ]  # fmt: skip
    assert [clock(value) for value in (0, 59.6, 3599.4, 90061, -60)] == [
        "0:00:00", "0:01:00", "0:59:59", "25:01:01", "-0:01:00"
    ]  # fmt: skip
    assert [amount(value, unit) for value, unit in ((59.0, "s"), (90.0, "s"), (1.5, "GiB"), (250.0, "ms"))] == [
        "59.00 s", "0:01:30 (90.00 s)", "1.500 GiB", "250.0 ms"
    ]  # fmt: skip
    assert [percent(share) for share in (0.975, 0.05, 1.0, 0.00123)] == ["97.5 %", "5 %", "100 %", "0.123 %"]
    assert plain("a_b*[c](d)") == r"a\_b\*\[c\]\(d\)"
