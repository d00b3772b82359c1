"""What discriminators add to the losses of pairs: of the picture, and of the mouth where one looks at it alone."""

from __future__ import annotations

import torch
from torch import Tensor

from visavis.judges.discriminators import PatchDiscriminator, PictureAndMouth
from visavis.training.losses import LossWeights, feature_matching, generator_adversarial_loss
from visavis.training.mouth import mouth_crop
from visavis.training.task import Outcome


def judged(
    judge: PatchDiscriminator | PictureAndMouth, made: Tensor, real: Tensor, mouth: Tensor, weights: LossWeights
) -> Outcome:
    """Show pictures to the judges.

    Args:
        judge: one of pictures, or that and one of mouths.
        made, real: ``[B, 3, S, S]`` in [0, 1].
        mouth: where it is, as for :func:`visavis.training.mouth.mouth_crop`.
        weights: of the losses.

    Returns:
        The losses ``adversarial``, and ``feature_matching`` where it counts, weighted; and what each judge has seen.
    """
    made_seen: tuple[Tensor, ...] = (made,)
    real_seen: tuple[Tensor, ...] = (real,)
    judges: tuple[PatchDiscriminator, ...]
    if isinstance(judge, PictureAndMouth):
        judges = (judge.picture, judge.mouth)
        made_seen += (mouth_crop(made, mouth),)
        real_seen += (mouth_crop(real, mouth),)
    else:
        judges = (judge,)
    terms, matching = [], []
    factors = (weights.adversarial, weights.adversarial_mouth)
    for one, factor, fake, true in zip(judges, factors, made_seen, real_seen, strict=False):
        logits, features = one.judge(fake)
        terms.append(factor * generator_adversarial_loss(logits.float()))
        if weights.feature_matching:
            with torch.no_grad():
                _, wanted = one.judge(true)
            matching.append(weights.feature_matching * feature_matching(features, wanted))
    losses = {"adversarial": torch.stack(terms).sum()}
    if matching:
        losses["feature_matching"] = torch.stack(matching).sum()
    return Outcome(losses, real_seen, made_seen)
