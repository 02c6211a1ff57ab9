"""Matrices as the sampler multiplies with them."""

import pytest
import torch

from echochamber.rollout.weights import Matrix


@pytest.mark.parametrize(("columns", "rows"), [(768, 256), (256, 1024), (384, 128)])
def test_a_matrix_multiplies_as_torch_does_packed_or_not(columns: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight_NK = torch.randn(columns, rows, generator=generator)
    x_RK = torch.randn(33, rows, generator=generator)
    matrix = Matrix(weight_NK)
    if torch.backends.mkldnn.is_available():
        assert (matrix.packed is not None) == (columns > rows >= 256)
    exact = x_RK.double() @ weight_NK.double().T
    assert (matrix(x_RK) - exact).abs().max() < 1e-5 * exact.abs().max()
