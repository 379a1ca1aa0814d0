"""The version policy in a model's `config.pbtxt`: it goes before the server's own, here as behind Triton."""

from pathlib import Path

import open_inference_pb2 as oip
from google.protobuf import text_format

from jobcast_server.errors import BundleError
from jobcast_server.policy import Policy

CONFIG = "config.pbtxt"
LARGEST_CONFIG = 2**20


def pinned(home: Path) -> Policy | None:
    """The policy in a model's `config.pbtxt`, or None where it has none.

    Raises:
        BundleError: the file cannot be read as a model configuration.
    """
    path = home / CONFIG
    try:
        if not path.is_symlink() and not path.exists():
            return None
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_CONFIG:
            raise BundleError(f"{CONFIG}: must be a regular file of at most {LARGEST_CONFIG} bytes")
        config = text_format.Parse(path.read_text(encoding="utf-8"), oip.ModelConfig(), allow_unknown_field=True)
    except (OSError, UnicodeDecodeError, RecursionError, text_format.ParseError) as error:
        raise BundleError(f"{CONFIG}: is not a model configuration: {error}") from None
    policy = config.version_policy
    match policy.WhichOneof("policy_choice"):
        case "latest":
            return Policy(latest=max(1, policy.latest.num_versions))
        case "all":
            return Policy(latest=0)
        case "specific":
            return Policy(0, frozenset(policy.specific.versions))
    return None
