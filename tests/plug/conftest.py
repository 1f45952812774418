# SPDX-License-Identifier: Apache-2.0
"""One thread: the tensors here are too small for more."""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
