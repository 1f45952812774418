# SPDX-License-Identifier: Apache-2.0
"""A model converted in place: sparsity across the stages of a layer, from X and the weights.

    X ─► predicted ─► plan ─┬─► attention over the kept pairs, of critical rows; similar rows are copies
                            └─► FFN of leaders; other tokens' results are copies

Rows of K and V that the plan does not ask for are set to zero before attention sees them, similar rows of Q attend to
nothing, and FFN results that are copies are overwritten: no result can hang on what is left out. torch computes it all
the same: it is counted, not saved.
"""

import inspect
import sys
from collections.abc import Callable
from typing import Any

import torch

from config.errors import Refusal, require
from golden.speculate.plan import Plan, assemble
from golden.speculate.work import Sizes
from plug import transformers
from plug.attention import allowed, attend, real_rows, repeated, require_finite, undisturbed
from plug.counts import Counter, Report
from plug.families import Layer, Module, layers
from plug.layer import Rotate, Weights, predicted
from plug.predictors import Dense, Predictor, require_predictor
from plug.sight import Selection, Sight, Tensor

NAME = "foreshift_plan"
"""The attention implementation of converted models."""
_MARK = "_foreshift_layer"


def convert(model: Module, predictor: Predictor) -> "Conversion":
    """Convert all layers of a BERT-, GPT-2-, Llama- or ViT-style model of Hugging Face transformers in place, and count
    what they compute. The model keeps no cache of keys while it is converted: it is given whole sequences.

    Raises `Refusal`, and changes nothing, for a model with other attention, weights that are not finite, or a model
    that is converted already.
    """
    require_predictor(predictor)
    found = layers(model)
    require(
        not any(hasattr(layer.attention, _MARK) for layer in found),
        f"{type(model).__name__} must not be converted already, and it is; call restore() of its conversion first.",
    )
    transformers.install(NAME, _forward)
    return Conversion(model, found, predictor)


class Conversion:
    """A converted model, until `restore`."""

    def __init__(self, model: Module, found: list[Layer], predictor: Predictor) -> None:
        """Made by `convert`, which checks what it is given."""
        self._counter = Counter()
        self._handles: list[Any] = []
        configs = {
            id(each.config): each.config
            for each in model.modules()
            if hasattr(getattr(each, "config", None), "_attn_implementation")
        }
        self._before = [
            (config, config._attn_implementation, getattr(config, "use_cache", None)) for config in configs.values()
        ]
        self._layers = [_Converted(layer, predictor, self._counter) for layer in found]
        try:
            for layer in self._layers:
                self._handles += layer.attach()
            for config, _, cached in self._before:
                config._attn_implementation_internal = NAME
                if cached is not None:
                    config.use_cache = False
        except BaseException:
            self.restore()
            raise

    def report(self) -> Report:
        """What was computed and left out since the conversion, or since `clear`."""
        return self._counter.report()

    def clear(self) -> None:
        """Count from zero again."""
        self._counter.clear()

    def plans(self) -> list[Plan]:
        """Each layer's plan of the latest call, with its padding. Raises `Refusal` before the first one."""
        found = [layer.plan for layer in self._layers if layer.plan is not None]
        require(len(found) == len(self._layers), "The model must have been called, and was not; give it an input.")
        return found

    def restore(self) -> None:
        """Put the model back as it was; a second call does nothing."""
        for handle in self._handles:
            handle.remove()
        for layer in self._layers:
            if getattr(layer.layer.attention, _MARK, None) is layer:
                delattr(layer.layer.attention, _MARK)
        for config, implementation, cached in self._before:
            config._attn_implementation_internal = implementation
            if cached is not None:
                config.use_cache = cached
        self._handles, self._before = [], []


class _Converted:
    """A layer, from its X to its FFN."""

    def __init__(self, layer: Layer, predictor: Predictor, counter: Counter) -> None:
        self.layer = layer
        self.plan: Plan | None = None
        self._predictor = predictor
        self._counter = counter
        self._q, self._k = Weights(layer.q), Weights(layer.k)
        self._arguments = inspect.signature(layer.attention.forward)
        self._selection: Selection | None = None
        self._sight: Sight | None = None

    def attach(self) -> list[Any]:
        """The handles of the hooks."""
        object.__setattr__(self.layer.attention, _MARK, self)
        return [
            self.layer.attention.register_forward_pre_hook(torch.compiler.disable(self._before), with_kwargs=True),
            self.layer.ffn.register_forward_hook(torch.compiler.disable(self._fed)),
        ]

    def _before(self, module: Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Predicts, from what the attention module is about to be given."""
        given = self._arguments.bind(*arguments, **named).arguments
        given |= given.pop("kwargs", {})
        x, mask = given["hidden_states"], given.get("attention_mask")
        require(
            given.get("past_key_values") is None,
            "A converted model must be given whole sequences without a cache of keys, and was given one; "
            "call it with use_cache=False.",
        )
        require_finite(f"The input of {self.layer.name}", x)
        require(
            mask is None or mask.shape[1] == 1,
            "The attention mask of a converted model must be the same for all heads, and is not; give one for all.",
        )
        with undisturbed(x.device.type):
            causal = transformers.check_call(module, x[:, None], mask, None, {})
            batch, tokens, _ = x.shape
            pairs = allowed(mask, causal, batch, tokens, tokens, x.device)
            self._sight = Sight.of(pairs, real_rows(pairs))
            self._selection = None
            if self._predictor.system is not None:
                rotate = _rotation(module, given.get("position_embeddings"))
                self._selection = predicted(self._predictor, x, self._q, self._k, self.layer, self._sight, rotate)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
        """Attention as planned, [B, H, T, dh]."""
        with undisturbed(query.device.type):
            plan, kept = self._planned(query, key)
            needed = plan.columns.unflatten(1, (key.shape[1], -1)).any(2)
        bias = mask if mask is not None and mask.dtype != torch.bool else None
        key, value = (x.where(needed[..., None], 0) for x in (key, value))
        return attend(query, key, value, bias, scale, kept)

    def _planned(self, query: Tensor, key: Tensor) -> tuple[Plan, Selection]:
        sight, selection = self._sight, self._selection
        assert sight is not None
        heads = query.shape[1]
        if selection is None:
            selection = self._predictor.select(query, repeated(key, heads), sight)
        kept = sight.settled(selection)
        if not isinstance(self._predictor, Dense):
            kept = sight.without_padding(kept)
        window = self._predictor.similarity_window()
        plan = assemble(kept.mask, kept.reference, window, self._predictor.least_votes(heads))
        self._count(plan, kept, sight, early=self._selection is not None)
        self.plan = plan
        return plan, kept

    def _fed(self, module: Module, arguments: tuple[Any, ...], result: Tensor) -> Tensor:
        """Copies FFN results from the leaders."""
        if self.plan is None or isinstance(self._predictor, Dense):
            return result
        return result.gather(1, self.plan.leader[..., None].expand_as(result))

    def _count(self, plan: Plan, kept: Selection, sight: Sight, early: bool) -> None:
        """Of the rows that are no padding. early: Q and K were predicted, so that some need not be computed."""
        layer, rows = self.layer, sight.real[:, None, :, None]
        size = Sizes(
            tokens=int(sight.real.sum()),
            pairs=int((sight.pairs & rows).sum()),
            width=layer.width,
            heads=layer.heads,
            key_heads=layer.key_heads,
            head_width=layer.head_width,
            projection=layer.projection,
            ffn=layer.ffn_size,
        )
        prediction = sum(int((each & rows).sum()) for each in kept.scored) * layer.head_width
        prediction += size.predicted_projections if early else 0
        counts = plan.counted(sight.real, layer.heads // layer.key_heads)
        self._counter.add(size, size.left(counts, prediction, after_qk=not early))


def _forward(
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
    """The attention function of converted layers."""
    layer: _Converted | None = getattr(module, _MARK, None)
    if layer is None:
        raise Refusal(f"{type(module).__name__} must be converted, and is not; call plug.convert.convert on its model.")
    transformers.check_call(module, query, attention_mask, is_causal, others)
    require(dropout == 0, f"dropout must be 0, not {dropout}; call model.eval(), or set the dropout to 0.")
    result = _uncompiled(layer, query, key, value, attention_mask, scaling)
    return result.transpose(1, 2).contiguous(), None


_uncompiled: Callable[..., Tensor] = torch.compiler.disable(_Converted.attend)


def _rotation(module: Module, positions: tuple[Tensor, Tensor] | None) -> Rotate | None:
    """The model's own rotation of q and k, with the sines and cosines that it was given."""
    if positions is None:
        return None
    rotate: Any = getattr(sys.modules[type(module).__module__], "apply_rotary_pos_emb", None)
    if rotate is None:
        raise Refusal(
            f"{type(module).__name__} must rotate by apply_rotary_pos_emb of its own file, which has none; "
            "use plug.transformers.register."
        )
    cos, sin = (part.double() for part in positions)
    return lambda q, k: rotate(q, k, cos, sin)
