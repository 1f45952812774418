# SPDX-License-Identifier: Apache-2.0
"""Whether an accelerator accepts a layer's descriptor."""

from collections.abc import Mapping

from config.descriptor import DESCRIPTOR_VERSION, MAGIC, ErrorCode, Flag, unpack, used_bits
from config.requantise import MAX_SHIFT, MIN_SHIFT
from config.speculate import UNITY
from config.system import SystemConfig


def judge(config: SystemConfig, descriptor: bytes, before: bytes | None) -> ErrorCode:
    """The lowest code that holds for a descriptor of 128 bytes. before: that of the layer before it in its list, which
    was accepted, or none."""
    given = unpack(descriptor)
    faults = {
        ErrorCode.BAD_MAGIC: given["magic"] != MAGIC,
        ErrorCode.BAD_VERSION: given["version"] != DESCRIPTOR_VERSION,
        ErrorCode.RESERVED: int.from_bytes(descriptor, "little") & ~used_bits() != 0,
        ErrorCode.BAD_SHAPE: not _fits(config, given),
        ErrorCode.BAD_SETTINGS: not _sound(config, given),
        ErrorCode.BAD_CHAIN: bool(given["flags"] & Flag.CHAINED)
        and (before is None or _like(config, unpack(before)) != _like(config, given)),
        ErrorCode.MISALIGNED: any(given[name] % config.bus_bytes for name in _used(config, given)),
    }
    return min((code for code, fault in faults.items() if fault), default=ErrorCode.NONE)


def _fits(config: SystemConfig, given: Mapping[str, int]) -> bool:
    unit = config.speculation
    counts = {"tokens": config.tokens, "heads": config.heads, "head_width": unit.head_width}
    rows = {"width": unit.width, "ffn": config.ffn}
    return all(1 <= given[name] <= most for name, most in counts.items()) and all(
        given[name] in range(2 * config.lanes, most + 1, config.lanes) for name, most in rows.items()
    )


def _sound(config: SystemConfig, given: Mapping[str, int]) -> bool:
    """Whether all settings that count are in their ranges."""
    unit = config.speculation
    ranges = {f"norm{n}_shift": (MIN_SHIFT, MAX_SHIFT) for n in (1, 2)}
    if unit.top_k:
        ranges["k"] = (1, config.tokens)
    if unit.method == "spls":
        ranges |= {
            "k_similarity": (1, given["k"]),
            "s": (0, UNITY),
            "f": (1, config.heads + 1),
        }
    if unit.method == "lapa":
        ranges |= {f"eta{n}": (0, UNITY) for n in range(unit.rounds)}
    if unit.prunes and given["flags"] & Flag.CAUSAL:
        return False
    return all(low <= given[name] <= high for name, (low, high) in ranges.items())


def _like(config: SystemConfig, given: Mapping[str, int]) -> tuple[int, ...]:
    """In what a layer must be like the one that it is chained to."""
    heads = given["heads"] if config.speculation.prunes else 0
    return given["tokens"], given["width"], given["flags"] & Flag.PRE, heads


def _used(config: SystemConfig, given: Mapping[str, int]) -> list[str]:
    """Addresses and strides that are used."""
    flags = given["flags"]
    used = {
        "x": not flags & Flag.CHAINED,
        "x_stride": not flags & Flag.CHAINED,
        "y": flags & Flag.WRITE,
        "y_stride": flags & Flag.WRITE,
        "parameters": True,
        "predictor": config.speculation.coded,
        "weights1": True,
        "weights2": True,
        "key_mask": flags & Flag.MASK,
    }
    return [name for name, is_used in used.items() if is_used]
