"""Put a run's weights into the package: fp16, with their story in the header and their hash in the manifest.

python tools/package_weights.py RUN/weights.safetensors NAME KEY=VALUE ...
python tools/package_weights.py RUN/weights.safetensors NAME --on BASE KEY=VALUE ...

With ``--on`` parts that are to the bit those of the packaged weights BASE are left out, and taken from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from visavis.judges.face_network import FAMILY, without_identities
from visavis.weights.checkpoint import Base, load, save, sha256
from visavis.weights.store import PACKAGED, resolve


def shared(tensors: Mapping[str, Tensor], name: str) -> Base:
    """The largest parts of weights that are those of packaged ones: a part of any depth, all of whose tensors are."""
    path = resolve(name)
    theirs = load(path).tensors
    same = {own for own in tensors if own in theirs and torch.equal(tensors[own].float(), theirs[own].float())}

    def whole(part: str) -> bool:
        inside = [own for own in tensors if own.startswith(f"{part}.")]
        return all(own in same for own in inside)

    parts = {".".join(own.split(".")[:depth]) for own in same for depth in range(1, own.count(".") + 1)}
    found = {part for part in parts if whole(part)}
    largest = [part for part in found if not any(part.startswith(f"{other}.") for other in found)]
    return Base(name, sha256(path), tuple(sorted(largest)))


def main(source: str, name: str, *facts: str) -> None:
    """Write ``NAME.safetensors`` and its line in ``manifest.json``; KEY=VALUE facts go into the header."""
    base = facts[1] if facts[:1] == ("--on",) else ""
    checkpoint = load(Path(source))
    meta = {**checkpoint.meta, **dict(fact.split("=", 1) for fact in (facts[2:] if base else facts))}
    target = PACKAGED / f"{name}.safetensors"
    config, tensors = checkpoint.config, checkpoint.tensors
    if checkpoint.family == FAMILY:
        config, tensors = without_identities(config, tensors)
    if base:
        on = shared(tensors, base)
        tensors = {name: tensor for name, tensor in tensors.items() if not on.gives(name)}
        meta["base"] = asdict(on)
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
