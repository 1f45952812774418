# SPDX-License-Identifier: Apache-2.0
"""The on-chip memories of a Verilog text as it leaves the generator: what has to become SRAM macros or block RAMs."""

import re
from collections import Counter
from typing import Any

_MODULE = re.compile(r"^module (\w+)\(.*?^endmodule", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  (\w+) \w+ \($", re.MULTILINE)
_MEMORY = re.compile(r"^  reg (?:\[(\d+):0\] )?(\w+) \[(\d+):0\];$", re.MULTILINE)


def memories_of(text: str) -> list[dict[str, Any]]:
    """A dict for each memory of the text's modules, in their order; the first module is the top.

    module, name: where it is. words, bits: of each of its `instances` under the top. ports: a dict each: `direction`;
    of a write, whose word is stored at the clock edge, how many `enables` it has, each for an equal part of the word;
    of a read, `latency`: cycles from address to word. Tables, which nobody writes, are logic and not here.
    """
    bodies = {found[1]: found[0] for found in _MODULE.finditer(text)}
    instances = _instances(bodies)
    return [
        {"module": module, "name": name, "words": int(last) + 1, "bits": int(top or 0) + 1}
        | {"instances": instances[module], "ports": ports}
        for module, body in bodies.items()
        for top, name, last in _MEMORY.findall(body)
        for ports in [_ports(body, name)]
        if any(port["direction"] == "write" for port in ports)
    ]


def total_bits(memories: list[dict[str, Any]]) -> int:
    """Of all instances together."""
    return sum(memory["words"] * memory["bits"] * memory["instances"] for memory in memories)


def _instances(bodies: dict[str, str]) -> Counter[str]:
    """How often each module occurs under the first one, itself once."""
    inside = {
        name: Counter(kind for kind in _INSTANCE.findall(body) if kind in bodies) for name, body in bodies.items()
    }
    found: Counter[str] = Counter()

    def count(module: str, times: int) -> None:
        found[module] += times
        for kind, number in inside[module].items():
            count(kind, times * number)

    count(next(iter(bodies)), 1)
    return found


def _ports(body: str, name: str) -> list[dict[str, Any]]:
    # One `always` for each port that writes, with a line for each of its enables.
    blocks = re.findall(r"^  always .*?^  end$", body, re.MULTILINE | re.DOTALL)
    enables = [len(re.findall(rf"^ +{name}\[.* <= ", block, re.MULTILINE)) for block in blocks]
    clocked = len(re.findall(rf" <= {name}\[", body))
    at_once = len(re.findall(rf" = {name}\[", body))
    return [
        *({"direction": "write", "enables": number} for number in enables if number),
        *({"direction": "read", "latency": 1} for _ in range(clocked)),
        *({"direction": "read", "latency": 0} for _ in range(at_once)),
    ]
