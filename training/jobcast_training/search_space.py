"""What is searched: numbers of the hyper-parameters file, each with its range.

A trial is the text of a `--config` file, so that what was scored is exactly what training loads afterwards.
"""

import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from jobcast_training import families, hyperparameters
from jobcast_training.hyperparameters import Hyperparameters
from jobcast_training.searching.parameters import distribution, rounded, toml_text

CHOICES: Mapping[str, tuple[float, ...]] = {
    "statistics.prior_jobs": (3.0, 10.0, 30.0),
    "fitting.half_life_days": (0.0, 30.0, 90.0, 270.0),
}
"""Keys outside the families. Every value of `prior_jobs` has features of its own, hence few; 0 days is no weighting.

Not searched, though fits depend on them: rounds, which latency is paid for; `history.hidden` and `censoring.rounds`,
which serve callers and jobs that held-out scores do not see.
"""


@dataclass(frozen=True)
class Space:
    """Hyper-parameters to search around those of a `--config` file. Keys are written `table.key`.

    Attributes:
        given: what the file says, by table and key.
        defaults: value of every searched key without a search.
        ranges: of every searched key; holds the default.
    """

    given: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any]
    ranges: Mapping[str, BaseDistribution]

    @classmethod
    def around(cls, config: Path | None) -> "Space":
        """Return the space around the packaged defaults as changed by `config`.

        Raises:
            HyperparameterError: the file is wrong.
        """
        named = hyperparameters.load(config).families
        packaged = files("jobcast_training").joinpath("hyperparameters.toml").read_text(encoding="utf-8")
        tree = tomllib.loads(packaged)
        given = tomllib.loads(config.read_text(encoding="utf-8")) if config else {}
        for table, values in given.items():
            tree[table] |= values
        defaults: dict[str, Any] = {}
        ranges: dict[str, BaseDistribution] = {}
        for key, choices in CHOICES.items():
            table, name = key.split(".")
            defaults[key] = float(tree[table][name])
            ranges[key] = CategoricalDistribution(sorted({*choices, defaults[key]}))
        for family in named:
            for name, (low, high, kind) in families.regression(family).search_space.items():
                key, value = f"{family}.{name}", tree[family][name]
                defaults[key] = value
                ranges[key] = distribution(low, high, kind, value)
        return cls(given, defaults, ranges)

    def rounded(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as a trial takes them: four digits say enough, a default is kept as it is."""
        return rounded(parameters, self.defaults)

    def toml(self, parameters: Mapping[str, Any]) -> str:
        """Return the `--config` file of a trial: what the file around says, with the parameters in it."""
        tree = {table: dict(values) for table, values in self.given.items()}
        for key, value in self.rounded(parameters).items():
            table, name = key.split(".")
            tree.setdefault(table, {})[name] = value
        return toml_text(tree)

    def load(self, parameters: Mapping[str, Any]) -> Hyperparameters:
        """Return the hyper-parameters of a trial."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trial.toml"
            path.write_text(self.toml(parameters), encoding="utf-8")
            return hyperparameters.load(path)
