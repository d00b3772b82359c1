"""Transforms of motion over time, in whole numbers: rows are frequencies, columns frames, times 2^14."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

BASIS_BITS = 14

#: Orthonormal DCT-II: for frames that differ from a fixed place, such as a pivot's, by much the same.
STEADY: dict[int, Ints] = {
    1: np.array([[16384]], np.int64),
    2: np.array([[11585, 11585], [11585, -11585]], np.int64),
    4: np.array(
        [
            [8192, 8192, 8192, 8192],
            [10703, 4433, -4433, -10703],
            [8192, -8192, -8192, 8192],
            [4433, -10703, 10703, -4433],
        ],
        np.int64,
    ),
    8: np.array(
        [
            [5793, 5793, 5793, 5793, 5793, 5793, 5793, 5793],
            [8035, 6811, 4551, 1598, -1598, -4551, -6811, -8035],
            [7568, 3135, -3135, -7568, -7568, -3135, 3135, 7568],
            [6811, -1598, -8035, -4551, 4551, 8035, 1598, -6811],
            [5793, -5793, -5793, 5793, 5793, -5793, -5793, 5793],
            [4551, -8035, 1598, 6811, -6811, -1598, 8035, -4551],
            [3135, -7568, 7568, -3135, -3135, 7568, -7568, 3135],
            [1598, -4551, 6811, -8035, 8035, -6811, 4551, -1598],
        ],
        np.int64,
    ),
}

#: Orthonormal DST-VII: for frames that walk away from the one before them, which suits a random walk best. On faces it
#: takes 7 % fewer bits than the cosines.
DEPARTING: dict[int, Ints] = {
    1: np.array([[16384]], np.int64),
    2: np.array([[8614, 13937], [13937, -8614]], np.int64),
    4: np.array(
        [[3736, 7021, 9459, 10757], [9459, 9459, 0, -9459], [10757, -3736, -9459, 7021], [7021, -10757, 9459, -3736]],
        np.int64,
    ),
    8: np.array(
        [
            [1460, 2871, 4184, 5354, 6342, 7114, 7644, 7914],
            [4184, 7114, 7914, 6342, 2871, -1460, -5354, -7644],
            [6342, 7644, 2871, -4184, -7914, -5354, 1460, 7114],
            [7644, 4184, -5354, -7114, 1460, 7914, 2871, -6342],
            [7914, -1460, -7644, 2871, 7114, -4184, -6342, 5354],
            [7114, -6342, -1460, 7644, -5354, -2871, 7914, -4184],
            [5354, -7914, 6342, -1460, -4184, 7644, -7114, 2871],
            [2871, -5354, 7114, -7914, 7644, -6342, 4184, -1460],
        ],
        np.int64,
    ),
}
