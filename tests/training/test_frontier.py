"""An ensemble within a latency budget: prefixes of members, what is measured, what is chosen, what is served."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from jobcast_export.forest import merge
from jobcast_export.model import served_model
from jobcast_export.parity import tolerance, tree_outputs
from jobcast_training import families, hyperparameters, pipeline, predictors
from jobcast_training.columns import input_columns
from jobcast_training.command.train import print_frontier, train
from jobcast_training.families import Rows
from jobcast_training.fitting import TARGETS, Choice, Period, choose_members, seconds_lost
from jobcast_training.frontier import Frontier, Point, within, worth_measuring
from jobcast_training.frontier_page import table, write_frontier
from jobcast_training.history import History
from jobcast_training.latency import TURNS, latencies, single_row_session
from jobcast_training.options import Cost, Option, all_options, unbeaten
from jobcast_training.periods import TrainingError
from jobcast_training.prefixes import ladder, staged
from jobcast_training.records import Records
from jobcast_training.sources.synthetic import generate
from rich.console import Console

LEVELS = (0.1, 0.5, 0.9)
RNG = np.random.default_rng(5)
X = RNG.normal(size=(2_000, 5)).astype(np.float32)
Y = X[:, 0] + np.abs(X[:, 1]) * RNG.gamma(1.0, size=2_000)
ROOMY = 1e6
"""A budget in us that no ensemble exceeds, however busy the machine."""


def quiet(name: str, rounds: int) -> Callable[..., None]:
    return lambda done=1: None


def option(expected: float, loss: float, name: str = "xgboost-share") -> Option:
    return Option(Choice({name: (int(expected * 1000),)}, {name: 1.0}, 1.0), loss, expected)


def budgeted(log: Records, config: Path, budget_us: float, seen: list[str] | None = None) -> pipeline.Result:
    def step(name: str, rounds: int) -> Callable[..., None]:
        if seen is not None:
            seen.append(name)
        return lambda done=1: None

    return pipeline.train(
        predictors.load("hpc-runtime"),
        log,
        hyperparameters.load(config),
        seed=1,
        step=step,
        latency_budget_us=budget_us,
    )


@pytest.fixture(scope="module")
def steps() -> list[str]:
    return []


@pytest.fixture(scope="module")
def roomy(log: Records, small: Path, steps: list[str]) -> pipeline.Result:
    return budgeted(log, small, ROOMY, steps)


@pytest.fixture(scope="module")
def frontier(roomy: pipeline.Result) -> Frontier:
    assert roomy.frontier is not None
    return roomy.frontier


@pytest.mark.parametrize("name", hyperparameters.load().families)
def test_the_first_rounds_of_a_member_are_what_so_many_rounds_would_have_grown(name: str) -> None:
    family, parameters = families.regression(name), {**hyperparameters.load().families[name], "rounds": 16}
    rows = Rows(X, Y)
    boosters = len(LEVELS) if name == "lightgbm" else 1
    whole = family.fit(rows, None, LEVELS, parameters, 7, lambda: None, (16, 12, 16)[:boosters])
    found = staged({"one": whole}, X, lambda: None)["one"]
    assert [max(rounds) for rounds in found.outputs] == [5, 7, 10, 14, 16]
    for rounds, said in found.outputs.items():
        fresh = family.fit(rows, None, LEVELS, parameters, 7, lambda: None, rounds)
        allowed = 2 * tolerance(whole.forest)
        np.testing.assert_allclose(said, fresh.predict(X), atol=allowed)
        np.testing.assert_allclose(tree_outputs(found.forest(rounds), X), fresh.predict(X), atol=allowed)
        assert len(found.forest(rounds).roots) == sum(rounds)


def test_a_booster_that_stopped_early_keeps_its_own_rounds() -> None:
    assert ladder((12, 3, 6)) == [(5, 3, 5), (7, 3, 6), (10, 3, 6), (12, 3, 6)]
    assert ladder((4,)) == [(4,)]


def test_the_cost_of_a_tree_is_found_again() -> None:
    truth = Cost(40.0, 2.0, {"xgboost-share": 0.05, "catboost-time": 0.02})
    choices = [
        Choice({}, {}, 0.0),
        Choice({}, {}, 1.0),
        Choice({"xgboost-share": (100,)}, {}, 1.0),
        Choice({"catboost-time": (50,)}, {}, 0.0),
        Choice({"catboost-time": (100,), "xgboost-share": (20,)}, {}, 0.5),
    ]
    found = Cost.fitted(choices, np.array([truth.of(one) for one in choices]))
    assert truth.of(choices[-1]) == pytest.approx(40 + 2 + 1 + 2)
    assert found.of(Choice({"xgboost-share": (40,)}, {}, 1.0)) == pytest.approx(44.0)


def test_what_is_measured_is_the_predicted_frontier_and_what_lies_close_to_the_budget() -> None:
    line = [option(50.0, 9.0), option(60.0, 7.0), option(80.0, 5.0), option(120.0, 4.0)]
    beaten = [option(61.0, 8.0), option(110.0, 6.0)]
    under, over = option(73.0, 7.5), option(87.0, 5.5)
    whole = option(300.0, 4.5, "catboost-time")
    options = [*line, *beaten, under, over]
    assert unbeaten(options) == line
    chosen = worth_measuring(options, whole, 80.0)
    assert sorted(one.expected for one in chosen) == [50.0, 60.0, 73.0, 80.0, 87.0, 120.0, 300.0]


def test_the_choice_loses_least_of_those_measured_within_the_budget() -> None:
    points = [Point(option(80.0, 7.0), 75.0), Point(option(70.0, 5.0), 81.0), Point(option(60.0, 8.0), 60.0)]
    for budget, expected in ((81.0, points[1]), (80.0, points[0]), (74.9, points[2])):
        assert within(points, budget, lambda choice: (choice, 1.0)) == (expected, expected.option.choice, 1.0)


def test_what_is_too_slow_once_fitted_anew_makes_room_for_one_as_much_faster() -> None:
    """Fitted anew all take a tenth more: 80 us become 88, 76 become 83.6, 72 keep 80."""
    points = [
        Point(option(latency, loss), latency) for latency, loss in ((80.0, 1.0), (76.0, 2.0), (72.0, 3.0), (60.0, 4.0))
    ]
    tried: list[float] = []

    def anew(choice: Choice) -> tuple[str, float]:
        tried.append(sum(choice.rounds["xgboost-share"]) / 1000)
        return "fitted", 1.1 * tried[-1]

    assert within(points, 80.0, anew) == (points[2], "fitted", pytest.approx(79.2))
    assert tried == [80.0, 72.0]
    with pytest.raises(TrainingError, match=r"latency budget of 61 us .* once fitted to all known jobs is 66\.0 us"):
        within(points, 61.0, anew)
    with pytest.raises(TrainingError, match=r"budget of 40 us .* measured is 60\.0 us; name a larger one"):
        within(points, 40.0, anew)


def test_with_room_the_least_loss_is_taken_and_it_is_no_more_than_that_of_whole_members(frontier: Frontier) -> None:
    assert frontier.served.option.loss == min(point.option.loss for point in frontier.points)
    assert frontier.served.option.loss <= frontier.whole.option.loss
    best = frontier.best()
    assert best[-1].option.loss == frontier.served.option.loss
    assert all(a.latency_us <= b.latency_us and a.option.loss > b.option.loss for a, b in pairwise(best))


def test_every_row_of_the_table_was_measured(frontier: Frontier) -> None:
    rows = table(frontier)
    measured = {f"{point.latency_us:.1f}" for point in frontier.points}
    assert {row[0] for row in rows} <= measured
    assert [row[5] for row in rows].count("served") == 1
    assert min(frontier.fixed_us, frontier.served_us) > 0


def test_where_every_tree_takes_a_microsecond_the_frontier_goes_from_few_trees_to_the_most_accurate(
    frontier: Frontier,
) -> None:
    trees = [(sum(map(sum, point.option.choice.rounds.values())), point.option) for point in frontier.points]
    points = sorted(
        (Point(option, float(count)) for count, option in trees), key=lambda one: (one.latency_us, one.option.loss)
    )
    least = min(points, key=lambda one: (one.option.loss, one.latency_us))
    given = replace(frontier, points=points, served=least, whole=least)
    best = given.best()
    assert (best[0], best[-1]) == (points[0], least)
    assert all(a.latency_us < b.latency_us and a.option.loss > b.option.loss for a, b in pairwise(best))
    # Which ensembles are measured depends on the machine; of those measured, none with as few trees loses less.
    losses = {count: min(option.loss for own, option in trees if own <= count) for count, _ in trees}
    kept = [
        count
        for count in sorted(losses)
        if losses[count] < min([losses[one] for one in losses if one < count] or [np.inf])
    ]
    assert [int(point.latency_us) for point in best] == kept
    # Its table leaves out what is hardly better.
    rows = table(given)
    shown = [int(row[3]) for row in rows]
    assert (shown[0], shown[-1]) == (kept[0], kept[-1])
    assert shown == [count for count in kept if count in shown]
    assert float(rows[-1][1]) == pytest.approx(least.latency_us / points[0].latency_us, abs=0.01)


def test_the_served_forests_have_as_many_trees_as_were_chosen(roomy: pipeline.Result, frontier: Frontier) -> None:
    choice = frontier.served.option.choice
    grown = {name: len(forest.roots) for name, forest in roomy.candidate.forests.items()}
    assert grown == {name: sum(rounds) for name, rounds in choice.rounds.items()}
    assert roomy.candidate.weights == choice.weights
    assert roomy.candidate.head.share == choice.share


def test_what_stands_for_no_budget_is_what_a_run_without_one_serves(
    result: pipeline.Result, frontier: Frontier
) -> None:
    choice = frontier.whole.option.choice
    assert result.frontier is None
    assert {name: len(forest.roots) for name, forest in result.candidate.forests.items()} == {
        name: sum(rounds) for name, rounds in choice.rounds.items()
    }
    assert result.candidate.weights == choice.weights
    assert result.candidate.head.share == choice.share


def test_an_option_loses_what_its_members_lose_when_they_are_fitted_with_so_many_rounds(small: Path) -> None:
    hyper = hyperparameters.load(small)
    limit = np.log1p(RNG.choice([3_600.0, 7_200.0], size=len(X)))
    fit, tune = (
        Period(
            X[rows], np.minimum(Y + 5, limit)[rows], limit[rows], limit[rows], np.zeros(len(X[rows]), dtype=np.bool_)
        )
        for rows in (slice(0, 1_400), slice(1_400, None))
    )
    levels = hyper.quantiles.trained
    members = choose_members(fit, tune, (fit.y, tune.y), hyper, 1, quiet)[0]
    options = all_options(
        staged(members, tune.x, lambda: None), tune, tune.y, levels, Cost(0, 0, dict.fromkeys(members, 1)), quiet
    )
    kinds = {one.choice.share for one in options}
    assert kinds == {0.0, 0.5, 1.0}
    for one in options[:: len(options) // 7]:
        total = np.zeros(1)
        for name, rounds in one.choice.rounds.items():
            family, target = name.split("-")
            power = TARGETS[target]
            fresh = families.regression(family).fit(
                fit.rows(fit.y, power), None, levels, hyper.families[family], 1, lambda: None, rounds
            )
            total = total + one.choice.weights[name] * (fresh.predict(tune.x) + power * tune.scale[:, None])
        assert one.loss == pytest.approx(seconds_lost(total, tune, levels), rel=1e-5)
        assert sum(one.choice.weights.values()) == pytest.approx(1)
        assert one.expected == sum(sum(rounds) for rounds in one.choice.rounds.values())


def test_the_slower_of_two_graphs_is_seen_to_be(result: pipeline.Result, log: Records) -> None:
    """A hundred times the trees: the order of the two is beyond any noise."""
    candidate = result.candidate
    small, large = (
        single_row_session(served_model(candidate.feature_graph, forest, candidate.head))
        for forest in (
            merge(candidate.forests, candidate.weights),
            merge(
                {str(n): one for n in range(100) for one in candidate.forests.values()},
                {str(n): 0.01 for n in range(100)},
            ),
        )
    )
    inputs = predictors.load("hpc-runtime").inputs
    rows = [input_columns(log.frame, History.of(log), inputs, place, place + 1) for place in range(5)]
    turns: list[None] = []
    taken = latencies([large, small], rows, 1, lambda: turns.append(None))
    assert len(turns) == TURNS
    assert taken[0] > taken[1] > 0


def test_the_table_the_picture_and_the_data_lie_in_the_folder(frontier: Frontier, tmp_path: Path) -> None:
    write_frontier(tmp_path, frontier, "invented")
    page = (tmp_path / "frontier.md").read_text()
    for row in table(frontier):
        assert f"| {' | '.join(row)} |" in page
    assert "onnxruntime" in page
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")
    stored = json.loads((tmp_path / "frontier.json").read_text())
    assert stored["served"]["served_us"] == frontier.served_us
    assert [one["latency_us"] for one in stored["measured"]] == [point.latency_us for point in frontier.points]


def test_the_card_says_what_was_measured_and_every_step_was_announced(
    roomy: pipeline.Result, frontier: Frontier, steps: list[str]
) -> None:
    assert f"it takes {frontier.served_us:.1f} us" in roomy.candidate.card
    assert f"measuring {len(frontier.points)} ensembles" in steps
    assert steps.index("measuring the cost of a tree") < steps.index("measuring what is served")


def test_a_budget_below_what_features_and_head_take_is_refused_with_that_figure(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny.toml"
    tiny.write_text("".join(f"[{name}]\nrounds = 1\n" for name in hyperparameters.load().families))
    path = tmp_path / "jobs.parquet"
    generate(4_000, 3, path)
    arguments = ["hpc-runtime", "--data", str(path), "--config", str(tiny), "--out", str(tmp_path / "models")]
    outcome = CliRunner().invoke(train, [*arguments, "--latency-budget-us", "0.5"])
    assert outcome.exit_code == 1
    assert re.search(r"latency budget must be above \d+\.\d us, .* without a tree, got 0.5 us", outcome.output)
    assert not (tmp_path / "models").exists()


def test_the_command_prints_the_frontier(frontier: Frontier) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    print_frontier(console, frontier)
    shown = console.export_text()
    for row in table(frontier):
        assert all(cell in shown for cell in row)
    assert f"it takes {frontier.served_us:.1f} us" in shown.replace("\n", " ")


def test_the_table_leaves_out_rows_that_gain_next_to_nothing_but_never_what_is_served() -> None:
    losses = (100.0, 90.0, 89.99, 89.98, 80.0)
    points = [Point(option(50.0 + place, loss), 50.0 + place) for place, loss in enumerate(losses)]
    frontier = Frontier(54.0, 40.0, points, points[4], points[3], 53.5, "here")
    assert frontier.best() == points
    assert [row[2] for row in table(frontier)] == ["100.0", "90.0", "90.0", "80.0"]
    assert [row[5] for row in table(frontier)] == ["", "", "served", "without a budget"]
