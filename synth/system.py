# SPDX-License-Identifier: Apache-2.0
"""The pieces of whole accelerators, and the blocks that they count in."""

from synth import execution, hierarchy, speculation

PREDICTION = "prediction"
"""What begins with this, and a colon, is what an accelerator without speculation has not."""
_SELECTION = (
    "top-k",
    "similarity",
    "queue",
    "sums",
    "shares",
    "threshold unit",
    "clip",
    "lists",
    "masks",
    "maxima",
    "powers",
)
_UNITS = dict.fromkeys(("predictor", "selection", "recorder"), "speculation_") | {"scorer": "sanger_"}
"""First words of modules that are named after the unit of which they are a part."""


def _of(table: hierarchy.Parts, *names: str) -> tuple[str, ...]:
    found = (module for name in names for module in table[name])
    return tuple(_UNITS.get(module.split("_")[0], "") + module for module in found)


BLOCKS = {
    "prediction: array": _of(speculation.PARTS, "encoders", "array"),
    "prediction: projector": _of(speculation.PARTS, "projector"),
    "prediction: selection": (*_of(speculation.PARTS, *_SELECTION), "sanger_selection", "row_codes"),
    "prediction: buffers": _of(speculation.PARTS, "buffers"),
    "prediction: control": (
        *("speculation", "sanger", "spatten", "sanger_recorder", "spatten_recorder"),
        *_of(speculation.PARTS, "recorder", "control"),
    ),
    "prediction: feeds, plan": (
        *("predictor_feed", "predictor_weights", "prediction", "row_walk", "pruning", "plan", "item_reader"),
    ),
    "array 1": _of(execution.ATTENTION_PARTS, *execution.ATTENTION_BLOCKS["array 1, dot lines"]),
    "array 2": _of(execution.ATTENTION_PARTS, *execution.ATTENTION_BLOCKS["array 2, PE lines"]),
    "kept pairs to lines": (
        *_of(execution.ATTENTION_PARTS, "dispatcher", "items, choice of a bank", "crossbars"),
        *_of(execution.ATTENTION_PARTS, "picks on their way, rows"),
        "lines_that_show",
    ),
    "buffers of Q, K, V": ("banks", "banks_that_show", "query_feed"),
    "softmax": (
        *_of(execution.ATTENTION_PARTS, "softmax at lines: powers, scales", "softmax at lines: scores, codes"),
        *("power", "key_total", "divider"),
    ),
    "dense work to arrays": ("engine0", "engine1", "tiles0", "tiles1", "engine0_feed", "engine1_feed"),
    "activations": ("activations", "contexts", "context_bank", "input_bank", "hidden_bank"),
    "residual sums, LayerNorm": (
        "row_pass",
        "residual",
        "residual_scaler",
        "layer_norm",
        "norm_lane",
        "norm_scaler",
        "norm_sums",
    ),
    "GELU": ("gelu", "tables"),
    "memory port": ("reader", "writer", "bursts_16", "bursts_256"),
    "control": ("", "core", "attention", "router", "packer", "inputs", "sequencer", "walker", "registers", "counters"),
}
"""Block → its pieces, named without the top's name in front. All other modules dissolve into what holds them."""
