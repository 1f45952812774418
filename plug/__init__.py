# SPDX-License-Identifier: Apache-2.0
"""The predictors inside the user's own PyTorch model.

`attention` in the place of torch's scaled_dot_product_attention; `plug.transformers.register` for models of Hugging
Face that go through its attention interface; `plug.convert.convert` for sparsity across the stages of a layer.
"""

from plug.attention import attention
from plug.predictors import Dense, Lapa, Predictor, Spls, by_name

__all__ = ["Dense", "Lapa", "Predictor", "Spls", "attention", "by_name"]
