"""`jobcast doctor`: what computes here, and in which versions. It loads the bundles as the server would."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import click

from jobcast_server import forest
from jobcast_server.errors import BundleError, StartupError
from jobcast_server.settings import Settings, read

PACKAGES = ("jobcast", "jobcast-server", "jobcast-core", "onnxruntime", "numpy", "grpcio", "protobuf", "uvloop")
REFUSED = 2


@click.command(epilog="Exit codes: 0 every bundle is good, 2 wrong use, or one is refused.")
@click.option("--models", metavar="PATH", help="Repository of bundles [default: models; variable: JOBCAST_MODELS].")
@click.option("--forest", "trees", metavar="CHOICE", help="auto, native or stock [variable: JOBCAST_FOREST].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def doctor(ctx: click.Context, models: str | None, trees: str | None, as_json: bool) -> None:
    """Show engine, listener, provider, versions, and who computes the trees of each bundle."""
    try:
        settings = read({"models": models, "forest": trees})
        found = examine(settings)
    except StartupError as error:
        click.echo(f"jobcast doctor: {error}", err=True)
        ctx.exit(REFUSED)
    click.echo(json.dumps(found) if as_json else "\n".join(_lines(found)))
    if any("refused" in about for about in found["models"].values()):
        ctx.exit(REFUSED)


def examine(settings: Settings) -> dict[str, Any]:
    """What runs here.

    Raises:
        StartupError: the provider or the demanded forest is not there, or the repository cannot be read.
    """
    from jobcast_server import native
    from jobcast_server.listener import port  # gRPC and onnxruntime load only when something is examined
    from jobcast_server.repository import session

    forest.demand(settings.forest)
    provider = session.choose(settings.provider)
    native.demand(settings.engine, provider)
    models = _models(settings, provider)
    return {
        "engine": "native" if any(about.get("engine") == "native" for about in models.values()) else "python",
        "listener": port.choose(settings, provider),
        "provider": provider,
        "core": _core(),
        "python": f"{platform.python_version()} {platform.system()} {platform.machine()}",
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "models": models,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _core() -> dict[str, str]:
    try:
        return {"state": "loaded", **cast(dict[str, str], forest.core().versions())}
    except forest.ForestError as error:
        return {"state": str(error)}


def _models(settings: Settings, provider: str) -> dict[str, dict[str, Any]]:
    from jobcast_server import native
    from jobcast_server.model import PREDICTOR
    from jobcast_server.repository.bundle import load
    from jobcast_server.repository.folder import scan

    try:
        homes = scan(settings.models)
    except OSError as error:
        raise StartupError(f"models: {settings.models} cannot be read: {error}") from None
    found: dict[str, dict[str, Any]] = {}
    for name, home in sorted(homes.items()):
        found |= {f"{name}/{place}": {"refused": reason} for place, reason in home.refused.items()}
        for number in sorted(home.versions):
            folder = Path(home.path) / str(number)
            try:
                engine = settings.engine if provider == "cpu" else "python"
                builder = native.Builder(engine, settings.max_batch_rows, contract=name == PREDICTOR)
                bundle = load(folder, provider, settings.golden_ulps, trees=settings.forest, builder=builder)
            except BundleError as error:
                found[f"{name}/{number}"] = {"refused": str(error)}
                continue
            about = {
                "engine": bundle.engine,
                "forest": bundle.forest,
                "kernels": bundle.forests,
                "fused": bundle.fused,
                "golden_ulps": bundle.golden_ulps,
            }
            found[f"{name}/{number}"] = about
    return found


def _lines(found: dict[str, Any]) -> list[str]:
    core = found["core"]
    told = core["state"]
    if told == "loaded":
        told = f"{core['jobcast_core']}, kernels that run here: {core['processor']}"
    lines = [f"{key:<10}{found[key]}" for key in ("engine", "listener", "provider", "python")]
    lines += [f"{'core':<10}{told}"]
    lines += [f"{'versions':<10}" + ", ".join(f"{name} {number}" for name, number in found["versions"].items())]
    for name, about in found["models"].items():
        if "refused" in about:
            lines.append(f"{name}: refused: {about['refused']}")
            continue
        whole = f"engine {about['engine']}, trees {about['forest']}"
        lines.append(f"{name}: {whole}, golden rows within {about['golden_ulps']} float32 steps")
        lines += [f"    {text}" for text in (*about["kernels"], *about["fused"])]
    return lines
