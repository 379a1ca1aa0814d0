"""Prints the JSON schema of the bundle manifest: `python -m jobcast_proto.schema`."""

import json

from jobcast_proto.manifest import Manifest


def manifest_schema() -> str:
    """Return the JSON schema of `manifest.json` as indented text."""
    return json.dumps(Manifest.model_json_schema(), indent=1, sort_keys=True)


if __name__ == "__main__":
    print(manifest_schema())
