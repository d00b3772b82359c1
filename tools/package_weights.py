"""Put a run's weights into the package: fp16, with their story in the header and their hash in the manifest.

python tools/package_weights.py RUN/weights.safetensors NAME KEY=VALUE ...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from visavis.judges.face_network import FAMILY, without_identities
from visavis.weights.checkpoint import load, save, sha256
from visavis.weights.store import PACKAGED


def main(source: str, name: str, *facts: str) -> None:
    """Write ``NAME.safetensors`` and its line in ``manifest.json``; KEY=VALUE facts go into the header."""
    checkpoint = load(Path(source))
    meta = {**checkpoint.meta, **dict(fact.split("=", 1) for fact in facts)}
    target = PACKAGED / f"{name}.safetensors"
    config, tensors = checkpoint.config, checkpoint.tensors
    if checkpoint.family == FAMILY:
        config, tensors = without_identities(config, tensors)
    save(target, tensors, family=checkpoint.family, config=config, meta=meta, half=True)
    target.chmod(0o644)
    manifest = PACKAGED / "manifest.json"
    rows = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    rows[name] = {
        "file": target.name,
        "sha256": sha256(target),
        "family": checkpoint.family,
        "card": f"docs/models/{name}.md",
    }
    manifest.write_text(json.dumps(rows, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
