"""Several processes that share a step do what one does with all its cells."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from aidocell.errors import InputError
from aidocell.train.finetune import finetune


def test_two_processes_equal_one_with_twice_the_batch(model, cells, quick):
    one = finetune(*cells, model=model, options=quick(batch_size=8))
    two = finetune(*cells, model=model, options=quick(batch_size=4, devices=2))
    expected, found = one.network.state_dict(), two.network.state_dict()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=2e-4, err_msg=name)
    np.testing.assert_allclose(two.history, one.history, atol=1e-4)


@pytest.mark.long
def test_what_goes_wrong_in_a_process_is_told_as_in_one(model, cells, quick):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.bert.encoder.ln.weight.fill_(float("inf"))
    with pytest.raises(InputError, match=r"E_NOT_FINITE.*--learning-rate"):
        finetune(*cells, model=broken, options=quick(batch_size=4, devices=2))
