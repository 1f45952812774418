# SPDX-License-Identifier: Apache-2.0
"""SpAtten's cascade pruning, to the bit: from layer to layer, fewer tokens and fewer heads, those that have mattered
most so far.

layer ─► probabilities ─► + columns, over rows, heads and layers ─► top k ─► tokens that the next layer has
      └► context ───────► + magnitudes, over rows and layers ─────► top k ─► heads that the next layer has
"""

from dataclasses import dataclass, replace

from config.errors import Refusal, require
from config.speculate import SpattenSettings
from golden.arith.top import top
from golden.arrays import Array, namespace, positions
from golden.execute.softmax import Softmax
from golden.speculate.operands import allowed
from golden.speculate.plan import Plan, all_critical, share_left


@dataclass(frozen=True)
class State:
    """What is known between two layers of H heads and T tokens. R is 1, as all rows go by the same sums; or T in causal
    layers, where row i goes by the sums over rows 0 to i.

    token_sums: int64 [..., R, T], of probabilities in units of 1/65280. head_sums: int64 [..., R, H], of |context|.
    tokens: bool [..., R, T], keys that are left. heads: bool [..., R, H], likewise.
    """

    token_sums: Array
    head_sums: Array
    tokens: Array
    heads: Array


class Spatten:
    """The pruning of one batch, through all layers of a model: `plan` and `watch` go to `golden.execute.layer.execute`,
    of each layer in turn.

    attend: bool [..., T], tokens that are no padding, or none for all. Padding is no key, counts for nothing, and is
    carried along: its rows are computed.
    """

    def __init__(self, settings: SpattenSettings, attend: Array | None = None) -> None:
        self._settings, self._attend = settings, attend
        self._layer = 0
        self._state: State | None = None
        self._seen: dict[str, Array] = {}

    def plan(self, x: Array, q: Array, k: Array) -> Plan:
        """The plan of the next layer, for x [..., T, D] and q [..., H, T, dh], of which only the shapes count.

        Raises `Refusal` beyond the last layer of the settings, for another shape than before, and if `watch` has not
        seen the layer before.
        """
        pairs = allowed(x, self._settings, self._attend)
        rows = pairs[..., 0, :, :] if self._settings.causal else pairs[..., 0, :1, :]
        self._check(rows, q.shape[-3])
        state = self._next(rows, q.shape[-3])
        self._state, self._layer, self._seen = state, self._layer + 1, {}
        xp = namespace(x)
        mask = pairs & state.tokens[..., None, :, :] & xp.matrix_transpose(state.heads)[..., None]
        if self._settings.causal:
            return replace(all_critical(mask), value_share=self._settings.values)
        alive = state.tokens[..., 0, :]
        if self._attend is not None:
            alive = alive | ~self._attend
        plan = all_critical(mask & alive[..., None, :, None])
        return replace(plan, alive=alive, value_share=self._settings.values)

    @property
    def left(self) -> Array:
        """bool [..., T]: the tokens that an encoder has left in the layer planned last, padding not among them. What a
        model that takes the mean of its tokens should take it over. Raises `Refusal` in causal models."""
        if self._state is None or self._settings.causal:
            raise Refusal(
                "what is left is known of encoders, once a layer is planned; a causal row has keys of its own left: "
                "see the mask of its plan."
            )
        return self._state.tokens[..., 0, :]

    def watch(self, name: str, tensor: Array) -> None:
        """Takes from a layer what matters to the next one."""
        if name in ("codes", "total", "context"):
            self._seen[name] = tensor

    def _check(self, rows: Array, heads: int) -> None:
        layers = len(self._settings.tokens)
        require(
            self._layer < layers,
            f"settings hold shares for {layers} layers, and this is one more; start a batch with a fresh Spatten.",
        )
        require(
            self._layer == 0 or len(self._seen) == 3,
            f"layer {self._layer - 1} must have been watched before layer {self._layer} is planned; "
            "give `watch` to each layer as well.",
        )
        before = self._state
        sizes = (*rows.shape, heads)
        require(
            before is None or (*before.tokens.shape, before.heads.shape[-1]) == sizes,
            f"every layer must have the tokens and heads of the first, [..., R, T, H], not {sizes}; "
            "start a batch with a fresh Spatten.",
        )

    def _next(self, rows: Array, heads: int) -> State:
        """What the layer starts with. rows: bool [..., R, T], keys that there are."""
        if self._state is None:
            xp = namespace(rows)
            of_heads = (*rows.shape[:-1], heads)
            return State(
                token_sums=xp.zeros_like(rows, dtype=xp.int64),
                head_sums=xp.zeros(of_heads, dtype=xp.int64, device=rows.device),
                tokens=rows,
                heads=xp.ones(of_heads, dtype=xp.bool, device=rows.device),
            )
        row = Softmax(self._seen["codes"], self._seen["total"])
        causal, attend = self._settings.causal, self._attend
        state = gathered(self._state, row, self._seen["context"], causal=causal, attend=attend)
        return pruned(state, rows, self._settings.tokens[self._layer], self._settings.heads[self._layer])


def gathered(state: State, row: Softmax, context: Array, *, causal: bool, attend: Array | None) -> State:
    """The state with a layer's softmax [..., H, T, T] and context [..., T, H·dh] added to its sums; rows of padding
    count for nothing."""
    xp = namespace(context)
    heads = state.heads.shape[-1]
    magnitudes = xp.reshape(xp.abs(context), (*context.shape[:-1], heads, -1))

    def over_rows(tensor: Array) -> Array:
        if attend is not None:
            tensor = xp.where(attend[..., None], tensor, 0)
        return xp.cumulative_sum(tensor, axis=-2) if causal else xp.sum(tensor, axis=-2, keepdims=True)

    return replace(
        state,
        token_sums=state.token_sums + over_rows(xp.sum(row.shares, axis=-3)),
        head_sums=state.head_sums + over_rows(xp.sum(magnitudes, axis=-1)),
    )


def pruned(state: State, rows: Array, tokens: int, heads: int) -> State:
    """The state with `tokens` 256ths of the keys `rows` [..., R, T] dropped in all, and `heads` 256ths of the heads,
    those with the smallest sums. A causal row drops all others before its own key."""
    xp = namespace(rows)
    sums = state.token_sums
    if rows.shape[-2] > 1:
        own = positions(rows, -2)[:, None] == positions(rows)
        sums = xp.where(own, xp.max(sums) + 1, sums)
    given = xp.sum(rows, axis=-1, keepdims=True, dtype=xp.int64)
    all_heads = xp.asarray(state.heads.shape[-1], device=rows.device)
    return replace(
        state,
        # A row without keys has nothing to choose from, whatever number it is given.
        tokens=top(sums, state.tokens, xp.clip(share_left(given, tokens), 1, None)),
        heads=top(state.head_sums, state.heads, share_left(all_heads, heads)),
    )
