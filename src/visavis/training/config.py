"""Settings of a training run, read from TOML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from visavis.generators.avfr.config import AvfrConfig
from visavis.training.losses import LossWeights


@dataclass(frozen=True)
class TrainConfig:
    """One run.

    Attributes:
        model: shape of the network.
        losses: weight of each loss.
        steps: optimiser steps in all; `epochs` of the paper are this run's steps divided into 100 parts.
        batch: pairs a step.
        learning_rate: at the start.
        schedule: `paper` drops tenfold at 60 and 90 of 100 parts; `cosine` falls to zero with a short warm-up.
        ema: decay of the averaged weights, which are the ones that are saved for use.
        precision: `fp32` or `bf16` (autocast; keypoints stay in fp32).
        split: which split of the shards to learn from.
        stride: every how many frames one is kept in memory.
        seed: of everything random.
        checkpoint_every_s: seconds between checkpoints.
        log_every: steps between log lines.
        stop_after_s: stop with a checkpoint after so many seconds; 0 for never.
        region_weight: how much more the mouth and the eyes count.
        far_share: how often the source is the one of several candidates that differs most from the driving frame.
        jitter: strength of the colour transforms.
        perceptual: file of LPIPS weights; needed when the perceptual loss counts.
    """

    model: AvfrConfig = field(default_factory=AvfrConfig.compact256)
    losses: LossWeights = field(default_factory=LossWeights)
    steps: int = 20_000
    batch: int = 8
    learning_rate: float = 1e-3
    schedule: Literal["paper", "cosine"] = "paper"
    ema: float = 0.999
    precision: Literal["fp32", "bf16"] = "fp32"
    split: str = "train"
    stride: int = 5
    seed: int = 0
    checkpoint_every_s: float = 300.0
    log_every: int = 20
    stop_after_s: float = 0.0
    region_weight: float = 2.0
    far_share: float = 0.5
    jitter: float = 0.1
    perceptual: str = ""
