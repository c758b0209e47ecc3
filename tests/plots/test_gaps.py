"""Many curves as one line."""

import numpy as np
import torch

from bnlab.plots.gaps import join_curves


def test_curves_follow_each_other_with_a_gap_after_each():
    x, y = join_curves(torch.tensor([1, 2]), torch.tensor([[3.0, 4.0], [5.0, 6.0]]))
    np.testing.assert_array_equal(x, [1, 2, np.nan, 1, 2, np.nan])
    np.testing.assert_array_equal(y, [3, 4, np.nan, 5, 6, np.nan])
