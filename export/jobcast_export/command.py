"""`jobcast export`: compile a trained candidate to the next version of its bundle."""

from pathlib import Path

import click


@click.command()
@click.argument("candidate", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out",
    default="models",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Repository of bundles; the version is the next free number.",
)
def export(candidate: Path, out: Path) -> None:
    """Compile CANDIDATE, a folder written by `jobcast train`, to one verified ONNX bundle."""
    from jobcast_export.bundle import export_candidate
    from jobcast_export.candidate import Candidate
    from jobcast_export.serving import CONFIG, kept_policy, pinned_versions

    try:
        folder = export_candidate(Candidate.load(candidate), out)
    except FileNotFoundError as error:
        raise click.ClickException(f"{candidate} is not a candidate: {error.filename} is missing") from error
    except ValueError as error:  # a ParityError, or a version policy that cannot be read
        raise click.ClickException(f"not exported: {error}") from error
    size = (folder / "model.onnx").stat().st_size / 1e6
    click.echo(f"{folder}: model.onnx {size:.2f} MB, parity proved")
    pinned = pinned_versions(kept_policy(folder.parent))
    if pinned and int(folder.name) not in pinned:
        named = ", ".join(map(str, pinned))
        click.echo(
            f"not served yet: {folder.parent / CONFIG} pins version {named}; "
            "take its version_policy out to serve the newest"
        )
