"""`jobcast info` and `jobcast health`: what is served, and whether."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import click

from jobcast.access import AccessFields
from jobcast.command.output import print_table
from jobcast.command.server import connected, server_options
from jobcast.quantity import human_duration


@click.command()
@server_options
def info(address: str, timeout: float, as_json: bool, access: AccessFields) -> None:
    """Show the served model: version, training data, errors on held-out jobs."""
    with connected(address, timeout, access) as client:
        model = client.model_info()
    if as_json:
        click.echo(json.dumps(asdict(model)))
        return
    print_table(
        [
            ("Model", f"version {model.model_version}", model.model_type),
            ("Loaded", "yes" if model.is_loaded else "no", ""),
            ("Trained", model.training_date, f"{model.training_samples:,} jobs, {len(model.feature_names)} features"),
            ("Ensemble", _listed(model.ensemble_weights), ""),
            ("Validation", *_errors(model.validation_mae_seconds, model.validation_mape_percent)),
            ("Test", *_errors(model.test_mae_seconds, model.test_mape_percent)),
            ("Served", f"{model.predictions_served:,} predictions", f"{model.average_latency_ms:.3f} ms on average"),
            ("Up for", human_duration(model.uptime_seconds), ""),
        ]
    )


@click.command()
@server_options
@click.pass_context
def health(ctx: click.Context, address: str, timeout: float, as_json: bool, access: AccessFields) -> None:
    """Show the server's state; exit with 1 unless it is serving."""
    with connected(address, timeout, access) as client:
        state = client.health()
    if as_json:
        click.echo(json.dumps(asdict(state)))
    else:
        print_table(
            [
                ("Status", state.status, state.message),
                *(("Model", name, status) for name, status in sorted(state.model_status.items())),
                ("Up for", human_duration(state.uptime_seconds), ""),
                ("Memory", f"{state.memory_usage_mb:,.0f} MB", ""),
                ("CPU", f"{state.cpu_usage_percent:.0f} %", ""),
            ]
        )
    if not state.serving:
        ctx.exit(1)


def _errors(mae_seconds: float, mape_percent: float) -> tuple[str, str]:
    return f"MAE {mae_seconds:,.0f} s", f"{human_duration(mae_seconds)}, MAPE {mape_percent:,.1f} %"


def _listed(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {weight:.2f}" for name, weight in sorted(weights.items()))
