"""From records to models of the workbench: chain, calibrate, decide, one last fit, and the test period.

Time flows one way: the last part of the records is the test period, which nothing is fitted, weighed or selected by.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl
from jobcast_export.allocation import AllocationCandidate
from numpy.typing import NDArray

from jobcast_training.allocation.about import about_allocation
from jobcast_training.allocation.assembly import Answer, Assembled, assemble, reference
from jobcast_training.allocation.baselines import Baseline, baselines
from jobcast_training.allocation.binning import BinnedModel
from jobcast_training.allocation.card import allocation_card
from jobcast_training.allocation.chain import Chained, chain, links
from jobcast_training.allocation.combining import Calibrated, Combination, Model, calibrate, models
from jobcast_training.allocation.deciding import Objective, Outcomes, Tried, decide, sweep
from jobcast_training.allocation.declaration import AMOUNT, CENSORED, HOURS, Predictor
from jobcast_training.allocation.encoding import Encoded, training_rows
from jobcast_training.allocation.fitting import Fit, Step, fit_members
from jobcast_training.allocation.golden import golden_inputs
from jobcast_training.allocation.history import Past, ended_before
from jobcast_training.allocation.records import AllocationRecords, RecordError, requests
from jobcast_training.allocation.scores import scores
from jobcast_training.allocation.settings import ENSEMBLE_GAIN, TEST_SHARE, Settings

LEAST_ROWS, LEAST_KNOWN = 100, 60
DEFAULT_MEMBERS = ("xgboost_regression", "lightgbm_regression", "catboost_regression")


@dataclass(frozen=True)
class Plan:
    """What a training run is asked for.

    Attributes:
        names: members, such as `xgboost_regression`.
        combination: of two or more regressions.
        settings: of the fits.
        objective: what allocations are judged by.
        preset: `balanced`, `low-waste` or `low-under-allocation`; None = what loses least within the bound.
    """

    names: tuple[str, ...] = DEFAULT_MEMBERS
    combination: Combination = "weighted"
    settings: Settings = field(default_factory=Settings)
    objective: Objective = field(default_factory=Objective)
    preset: str | None = None


@dataclass(frozen=True)
class Trained:
    """One model of the workbench, trained.

    Attributes:
        calibrated: the model, with what the chain taught it.
        tried: every rule of the sweep.
        decided: the rule that is served.
        assembled: the graph that is served.
        validation: what it says of the chain's rows.
        test: what the served graph says of the test period.
        validation_scores: see `scores.scores`; test_scores: the same of the test period.
        row_us: of one row in the served graph.
    """

    calibrated: Calibrated
    tried: Sequence[Tried]
    decided: Tried
    assembled: Assembled
    validation: Answer
    test: Answer
    validation_scores: Mapping[str, float]
    test_scores: Mapping[str, float]
    row_us: float

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.calibrated.model.name

    @property
    def ensemble(self) -> bool:
        """Whether it is made of several members."""
        return len(self.calibrated.model.members) > 1


@dataclass(frozen=True)
class Result:
    """A training run.

    Attributes:
        chained: predictions that models were calibrated and chosen by.
        known: rows of the records that were fitted to.
        split: first row of the test period.
        fit: of the rows before it.
        encoded: the test period's rows.
        models: as they were asked for.
    """

    predictor: Predictor
    records: AllocationRecords
    plan: Plan
    seed: int
    past: Past
    chained: Chained
    known: NDArray[np.int64]
    split: int
    fit: Fit
    encoded: Encoded
    models: Sequence[Trained]

    @property
    def best(self) -> Trained:
        """The model that does best on the chain's rows what the preset, or else the objective, asks for."""
        if self.plan.preset is None:
            return preferred(self.models)
        decided = [replace(one.decided, name=one.name) for one in self.models]
        name = decide(decided, self.plan.objective, self.plan.preset).name
        return next(one for one in self.models if one.name == name)

    @cached_property
    def baselines(self) -> Sequence[Baseline]:
        """What simple predictors would have allocated to the same rows."""
        return baselines(self)

    def outcomes(self, trained: Trained) -> Outcomes:
        """Return the chain's rows as a model sees them."""
        plan = self.plan
        return chain_outcomes(self.predictor, self.records.frame, self.chained, trained.calibrated, plan.objective)

    def test_outcomes(self, trained: Trained | None = None) -> Outcomes:
        """Return the test period as a model sees it, without one as the best sees it."""
        one = trained or self.best
        at = np.arange(self.split, self.records.frame.height)
        member, threshold, edge = self.fit.members.get(one.name), self.plan.objective.threshold, None
        if threshold is not None and isinstance(member, BinnedModel):
            edge = np.exp(member.log_edge(self.encoded.x, threshold) + self.encoded.log_anchor)
        return outcomes_of(self.predictor, self.records.frame, at, one.test.quantiles, edge)

    def candidate(self, trained: Trained, name: str) -> AllocationCandidate:
        """Return a model ready for export under a predictor's name."""
        about = about_allocation(self, trained, name)
        return AllocationCandidate(
            feature_graph=self.fit.encoder.graph,
            members=trained.assembled.members,
            head=trained.assembled.head,
            reference=reference(self.fit, trained.calibrated, self.encoded.x, self.seed),
            golden_inputs=golden_inputs(self.predictor, self.fit.encoder.known, self.seed),
            about=about,
            card=allocation_card(self, trained, about),
        )


def preferred(models: Sequence[Trained]) -> Trained:
    """Return the model that loses least on the chain's rows.

    An ensemble has to lose `ENSEMBLE_GAIN` less than its best member, being larger and slower.
    """
    return min(models, key=lambda one: one.decided.loss / (1 - ENSEMBLE_GAIN * one.ensemble))


def steps(plan: Plan, rows: int) -> int:
    """Number of members that a run fits, each a step."""
    return (len(links(split_of(rows), plan.settings)) + 1) * len(plan.names)


def split_of(rows: int) -> int:
    """Return the first row of the test period."""
    return rows - int(np.ceil(rows * TEST_SHARE))


def train(
    predictor: Predictor,
    records: AllocationRecords,
    plan: Plan,
    *,
    seed: int,
    step: Step,
    on_model: Callable[[Trained], None] = lambda trained: None,
) -> Result:
    """Train the models that a plan asks for.

    Args:
        predictor: what to predict.
        records: in order of time.
        plan: what to train.
        seed: of everything random; the same seed gives the same models on the same machine.
        step: hears of each fitted member.
        on_model: hears of each finished model.

    Raises:
        RecordError: there are too few records, or too few of them had ended when the test period began.
    """
    frame = records.frame
    if frame.height < LEAST_ROWS:
        raise RecordError(f"{records.source}: needs at least {LEAST_ROWS} usable records, got {frame.height}")
    past, split = Past.of(predictor, frame), split_of(frame.height)
    known = known_rows(frame)
    if len(known) < LEAST_KNOWN:
        raise RecordError(
            f"{records.source}: needs at least {LEAST_KNOWN} jobs that ended before the last {TEST_SHARE:.0%} were "
            f"submitted, got {len(known)}: give records of a longer time"
        )
    before, their_past = frame[known], past.rows(known)
    chained = chain(predictor, before, their_past, plan.names, plan.settings, seed, step)
    chained = replace(chained, row=known[chained.row])
    encoder, rows = training_rows(predictor, before, their_past, plan.settings, seed)
    fit = fit_members(encoder, rows, plan.names, plan.settings, seed, step)
    later = np.arange(split, frame.height)
    held = frame[split:]
    run = Result(
        predictor, records, plan, seed, past, chained, known, split, fit, encoder.rows(held, past.rows(later)), ()
    )
    made = []
    for model in models(plan.names, plan.combination, predictor.anchored):
        made.append(_model(run, model))
        on_model(made[-1])
    return replace(run, models=made)


def known_rows(frame: pl.DataFrame) -> NDArray[np.int64]:
    """Return the rows that a run may learn from: of jobs that had ended when the first test job was submitted."""
    return ended_before(frame, split_of(frame.height))


def _model(run: Result, model: Model) -> Trained:
    """Calibrate a model, decide its rule, put it together, and let it answer the test period."""
    objective, frame, predictor = run.plan.objective, run.records.frame, run.predictor
    later = np.arange(run.split, frame.height)
    held, past = frame[run.split :], run.past.rows(later)
    calibrated = calibrate(model, run.chained)
    outcomes = chain_outcomes(predictor, frame, run.chained, calibrated, objective)
    tried = sweep(outcomes, objective, predictor.request)
    decided = decide(tried, objective, run.plan.preset)
    assembled = assemble(run.fit, calibrated, decided.rule)
    test = assembled.answer(predictor, held, past)
    judged = outcomes_of(predictor, frame, later, test.quantiles)
    return Trained(
        calibrated,
        tried,
        decided,
        assembled,
        validation=Answer(outcomes.quantiles, decided.allocated),
        test=test,
        validation_scores=scores(outcomes, decided.allocated, objective),
        test_scores=scores(judged, test.allocation, objective),
        row_us=assembled.row_us(predictor, held, past),
    )


def chain_outcomes(
    predictor: Predictor, frame: pl.DataFrame, chained: Chained, calibrated: Calibrated, objective: Objective
) -> Outcomes:
    """Return the chain's rows as a calibrated model sees them."""
    quantiles = calibrated.quantiles(chained.served, chained.log_anchor)
    name = calibrated.model.name
    edge = None
    if objective.threshold is not None and name in chained.edges:
        edge = np.exp(chained.edges[name] + chained.log_anchor)
    return _known(outcomes_of(predictor, frame, chained.row, quantiles, edge), chained)


def _known(outcomes: Outcomes, chained: Chained) -> Outcomes:
    """The same with the amounts that the chain goes by: of a censored row a draw above what it was seen to use."""
    return replace(outcomes, used=np.exp(chained.log_amount), censored=None)


def outcomes_of(
    predictor: Predictor,
    frame: pl.DataFrame,
    at: NDArray[np.int64],
    quantiles: NDArray[np.float64],
    edge: NDArray[np.float64] | None = None,
) -> Outcomes:
    """Return records beside what a model says of them.

    A job that failed for want of the amount needed more than what it was seen to use, however little more.
    """
    rows = frame[at]
    used, censored = rows[AMOUNT].to_numpy(), rows[CENSORED].to_numpy()
    return Outcomes(
        quantiles,
        np.where(censored, np.nextafter(used, np.inf), used),
        rows[HOURS].fill_null(np.nan).to_numpy(),
        requests(predictor, rows),
        edge,
        censored if censored.any() else None,
    )
