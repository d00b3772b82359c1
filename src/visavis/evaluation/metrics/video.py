"""The I3D network of FVD (Unterthiner et al. 2018), as the TorchScript file that the literature passes around."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.core.errors import WeightsError

FILE = "i3d_torchscript.pt"
FEATURES = 400
FRAMES = 16


class VideoNetwork:
    """I3D trained on Kinetics-400.

    TorchScript is a program: loading it runs what is in it. So it is taken only from a folder that was named on
    purpose, never from a cache.

    Args:
        path: :data:`FILE`.

    Raises:
        WeightsError: the file is not TorchScript.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._network: Any = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, OSError, ValueError) as error:
            raise WeightsError(f"{path}: is not a TorchScript file, or is damaged") from error

    @torch.inference_mode()
    def features(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features ``float32 [1, 400]`` of consecutive pictures ``uint8 [16, S, S, 3]``."""
        video = torch.from_numpy(pictures).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        found = self._network(video, rescale=False, resize=True, return_features=True)
        return np.asarray(found.float().numpy(), np.float32).reshape(1, -1)
