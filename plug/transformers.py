# SPDX-License-Identifier: Apache-2.0
"""The predictors in models of Hugging Face transformers that go through its attention interface.

A function that is registered without a mask function is given no mask at all: the causal mask and the padding are
dropped without a word. So the two are registered together, and the mask always arrives as a tensor.
"""

import importlib
from collections.abc import Callable
from typing import Any

from config.errors import Refusal, require
from plug.attention import attention
from plug.predictors import Predictor, require_predictor
from plug.sight import Tensor

Forward = Callable[..., tuple[Tensor, None]]
_SPECIAL = ("flash", "sdpa", "flex", "eager", "paged")
_UNKNOWN = ("position_bias", "softcap", "s_aux", "cache")
_registered: set[str] = set()


def register(predictor: Predictor, name: str = "foreshift") -> None:
    """Make `attn_implementation=name` attention with `predictor`, in every model that goes through the attention
    interface; a name of ours may be registered again, with another predictor. Such models give no attention weights.

    Raises `Refusal` without transformers, and for a name that transformers uses or reads a meaning into.
    """
    require_predictor(predictor)

    def forward(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        is_causal: bool | None = None,
        **others: Any,
    ) -> tuple[Tensor, None]:
        causal = check_call(module, query, attention_mask, is_causal, others)
        shared = query.shape[1] != key.shape[1]
        result = attention(
            query, key, value, attention_mask, dropout, causal, scaling, enable_gqa=shared, predictor=predictor
        )
        return result.transpose(1, 2).contiguous(), None

    install(name, forward)


def install(name: str, forward: Forward) -> None:
    """Register an attention function and, under the same name, a mask function that always gives a bool mask
    [B, 1, T, S]."""
    modelling = library("modeling_utils")
    masking = library("masking_utils")
    names = modelling.ALL_ATTENTION_FUNCTIONS.valid_keys() + masking.ALL_MASK_ATTENTION_FUNCTIONS.valid_keys()
    taken = name in names and name not in _registered
    require(
        name.isidentifier() and not taken and not any(word in name for word in _SPECIAL),
        f"name must be an identifier that transformers gives no meaning to, not {name!r}; for example 'foreshift'.",
    )

    def mask(*arguments: Any, **settings: Any) -> Tensor:
        settings |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
        made: Tensor = masking.sdpa_mask(*arguments, **settings)
        return made

    modelling.AttentionInterface.register(name, forward)
    masking.AttentionMaskInterface.register(name, mask)
    _registered.add(name)


def library(module: str) -> Any:
    """A module of transformers. Raises `Refusal` where it is not installed, or too old."""
    try:
        return importlib.import_module(f"transformers.{module}")
    except ImportError as error:
        raise Refusal(
            f"transformers must be installed, version 5 or later, and {error.name or 'it'} is not; "
            "install it with `pip install transformers==5.23.0`."
        ) from error


def check_call(
    module: Any, query: Tensor, attention_mask: Tensor | None, is_causal: bool | None, others: dict[str, Any]
) -> bool:
    """Whether a call without a mask is causal. Raises `Refusal` for a causal layer that was given no mask, and for
    arguments that attention here does not know."""
    unknown = [name for name in _UNKNOWN if others.get(name) is not None]
    require(
        not unknown,
        f"Attention must do without {', '.join(unknown)}, which {type(module).__name__} asks for; use another model.",
    )
    if attention_mask is not None:
        return False
    require(
        is_causal is not None or not getattr(module, "is_causal", False) or query.shape[2] == 1,
        f"The causal layer {type(module).__name__} must be given its mask, and was given none; register with "
        "plug.transformers.register, which registers the mask function as well.",
    )
    return bool(is_causal) and query.shape[2] > 1
