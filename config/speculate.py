# SPDX-License-Identifier: Apache-2.0
"""Configuration of a speculation unit, fixed when it is built, and its settings, given with every layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from config.array import ArrayConfig, number_system, require_range, signed_bits
from config.errors import require
from config.formats import OPERAND_BITS
from config.requantise import Multiplier

METHODS = ("spls", "lapa", "dense", "fact")
"""Of the units behind the socket. spls: ESACT's sparsity prediction with local similarity. lapa: LAPA's rounds over bit
slices with a threshold between maximum and minimum. dense: no prediction, everything is kept. fact: FACT's powers of
two, the k largest scores."""

LATE = ("sanger",)
"""Methods that predict from what an accelerator has made by then, the exact Q and K: `config.sanger`. A
`SpeculationConfig` says how the accelerator around their unit is built; there is none behind the socket."""

CASCADES = ("spatten",)
"""Methods that plan a layer by what those before it have made of their tokens: `config.spatten`. Likewise."""

BASELINES = ("sanger", "spatten")
"""What the methods are compared with besides. Of these there is no hardware behind the socket; Sanger's is in
`config.sanger`, SpAtten's in `config.spatten`."""

SYSTEM_OF = {"spls": "hlog", "lapa": "aloc", "fact": "pot"}
WINDOWS = (1, 2, 4, 8, 16)
MAX_TOKENS, MAX_WIDTH, MAX_HEADS, MAX_HEAD_WIDTH = 4096, 8192, 128, 256
MIN_SCORE_BITS, MAX_SCORE_BITS = 4, 16
MAX_ROUNDS = 3
UNITY = 256
"""What the fractions s and eta, and the shares that SpAtten prunes, are given in: 256 stands for 1."""
PROBABILITY_UNITY = 1 << 16
"""What Sanger's threshold is given in."""
MAX_SCORE_SHIFT = 31


class Kind(IntEnum):
    """What a record of the plan says."""

    KEYS = 0
    COPY = 1
    LEADER = 2


@dataclass(frozen=True)
class SpeculationConfig:
    """A speculation unit for layers of up to `tokens` tokens.

    Parameters
    ----------
    method: one of `METHODS`, of `LATE`, or of `CASCADES`.
    rows, lanes: the array's shape: `rows` queries are scored side by side; `rows` is a power of two, 2 to 128.
    load: rows of the array that take their weights in one cycle; divides `rows`.
    tokens: longest sequence, a multiple of `rows`, up to 4096.
    width: of a row of X, up to 8192. heads: 1 to 128. head_width: of a row of Q̂ and K̂, 1 to 256.
    window: rows among which similar ones are sought, one of `WINDOWS`, at most `rows`; 1 seeks none. SPLS only.
    score_bits: width of a score once it is shifted and saturated, 4 to 16. SPLS and FACT only.
    slices: widths of the bit slices of K̂ from the top, one per round, 1 to 3 of them, 8 bits in all. LAPA only.

    Raises `Refusal` for anything else.
    """

    method: str = "spls"
    rows: int = 16
    lanes: int = 32
    load: int = 4
    tokens: int = 128
    width: int = 384
    heads: int = 12
    head_width: int = 32
    window: int = 8
    score_bits: int = 8
    slices: tuple[int, ...] = (4, 4)

    def __post_init__(self) -> None:
        require(
            self.method in METHODS + LATE + CASCADES,
            f"method must be one of {', '.join(METHODS + LATE + CASCADES)}, not {self.method!r}; choose one of them.",
        )
        require_range("rows", self.rows, 2, 128)
        require(
            self.rows & (self.rows - 1) == 0,
            f"rows must be a power of two, not {self.rows}; choose the next larger or smaller one.",
        )
        require_range("tokens", self.tokens, self.rows, MAX_TOKENS)
        require(
            self.tokens % self.rows == 0,
            f"tokens must be a multiple of rows = {self.rows}, not {self.tokens}; round it up.",
        )
        require_range("width", self.width, 1, MAX_WIDTH)
        require_range("heads", self.heads, 1, MAX_HEADS)
        require_range("head_width", self.head_width, 1, MAX_HEAD_WIDTH)
        require_range("score_bits", self.score_bits, MIN_SCORE_BITS, MAX_SCORE_BITS)
        require(
            self.window in WINDOWS and self.similarity_window <= self.rows,
            f"window must be one of {', '.join(map(str, WINDOWS))} and at most rows = {self.rows}, not "
            f"{self.window!r}; choose another window or more rows.",
        )
        require(
            isinstance(self.slices, tuple)
            and 1 <= len(self.slices) <= MAX_ROUNDS
            and all(isinstance(bits, int) and bits > 0 for bits in self.slices)
            and sum(self.slices) == OPERAND_BITS,
            f"slices must be 1 to {MAX_ROUNDS} widths that add up to {OPERAND_BITS} bits, not {self.slices!r}; "
            "for example (4, 4).",
        )
        # Refuses what no array can be.
        self.array  # noqa: B018

    @property
    def array(self) -> ArrayConfig:
        """The log-domain array; methods without one describe the one they stand beside."""
        return ArrayConfig(
            number_system(SYSTEM_OF.get(self.method, "hlog")),
            rows=self.rows,
            lanes=self.lanes,
            depth=self.tokens,
            terms=max(self.width, self.head_width, self.lanes),
            load=self.load,
        )

    @property
    def width_slices(self) -> int:
        """Beats that a row of X takes."""
        return -(-self.width // self.lanes)

    @property
    def groups(self) -> int:
        """Tiles beside each other that a head's Q̂ or K̂ takes."""
        return -(-self.head_width // self.rows)

    @property
    def head_slices(self) -> int:
        """Beats that a row of Q̂ or K̂ takes."""
        return -(-self.head_width // self.lanes)

    @property
    def row_bits(self) -> int:
        """Bits of a row's number in its block; the bits above them are the block's."""
        return self.rows.bit_length() - 1

    @property
    def blocks(self) -> int:
        """Blocks of `rows` queries in the longest sequence; as many chunks of `rows` keys."""
        return self.tokens // self.rows

    @property
    def sum_bits(self) -> int:
        """Bits of a raw score, signed: exact for a whole head."""
        return signed_bits(self.head_width * self.array.system.product_magnitude)

    @property
    def coded(self) -> bool:
        """W_Q and W_K come to the unit as codes."""
        return self.method in SYSTEM_OF

    @property
    def late(self) -> bool:
        """What is predicted from are the exact Q and K of all tokens, so none of them waits for a plan."""
        return self.method in LATE

    @property
    def prunes(self) -> bool:
        """Tokens may be dropped: their rows are not computed, and pass the layer as they are."""
        return self.method in CASCADES

    @property
    def similarity_window(self) -> int:
        """Rows among which similar ones are sought; 1 for methods that seek none."""
        return self.window if self.method == "spls" else 1

    @property
    def top_k(self) -> bool:
        """Scores are brought into `score_bits`, and the k largest of each row are kept."""
        return self.method in ("spls", "fact")

    @property
    def rounds(self) -> int:
        """Rounds of scoring."""
        return len(self.slices) if self.method == "lapa" else 1

    @property
    def name(self) -> str:
        """Name of the unit's top module."""
        return f"{self.method}_{self.rows}x{self.lanes}"


@dataclass(frozen=True)
class HeadSettings:
    """How a head's sums become Q̂, K̂ and scores: a multiplier for each of the first two, and for SPLS and FACT the
    shift that brings scores into `score_bits`, 0 to 31."""

    q: Multiplier = field(default_factory=lambda: Multiplier(1, 8))
    k: Multiplier = field(default_factory=lambda: Multiplier(1, 8))
    score_shift: int = 0

    def __post_init__(self) -> None:
        require_range("score_shift", self.score_shift, 0, MAX_SCORE_SHIFT)


@dataclass(frozen=True)
class Settings:
    """Settings of a layer that every method has, and all that dense has.

    causal: a token attends to itself and earlier ones only. scales: one `HeadSettings` per head, or a single one that
    holds for all.
    """

    causal: bool = False
    scales: tuple[HeadSettings, ...] = field(default_factory=lambda: (HeadSettings(),))

    def scale(self, head: int) -> HeadSettings:
        """That of a head."""
        return self.scales[head if len(self.scales) > 1 else 0]


@dataclass(frozen=True)
class SplsSettings(Settings):
    """SPLS (ESACT).

    k: keys that attention keeps per row, 1 or more. k_similarity: keys whose scores are compared, 1 to k.
    s: two rows are similar if their scores differ by no more than s/256 of their size; 0 to 256, 0 merges equal rows.
    f: heads that must name the same row for a token's FFN to be copied, 1 or more.
    """

    k: int = 13
    k_similarity: int = 13
    s: int = 64
    f: int = 8

    def __post_init__(self) -> None:
        require_range("k", self.k, 1, MAX_TOKENS)
        require(
            isinstance(self.k_similarity, int) and 1 <= self.k_similarity <= self.k,
            f"k_similarity must be an integer from 1 to k = {self.k}, not {self.k_similarity!r}; lower it or raise k.",
        )
        require_range("s", self.s, 0, UNITY)
        require_range("f", self.f, 1, MAX_HEADS + 1)


@dataclass(frozen=True)
class LapaSettings(Settings):
    """LAPA. eta: per round, keys further below the row's maximum than eta/256 of its range are dropped; 0 to 256,
    256 drops none."""

    eta: tuple[int, ...] = (128, 128)

    def __post_init__(self) -> None:
        require(
            isinstance(self.eta, Sequence) and 1 <= len(self.eta) <= MAX_ROUNDS,
            f"eta must be 1 to {MAX_ROUNDS} values, one per round, not {self.eta!r}; for example (128, 128).",
        )
        for value in self.eta:
            require_range("eta", value, 0, UNITY)


@dataclass(frozen=True)
class FactSettings(Settings):
    """FACT. k: keys that attention keeps per row, 1 or more."""

    k: int = 13

    def __post_init__(self) -> None:
        require_range("k", self.k, 1, MAX_TOKENS)


@dataclass(frozen=True)
class SangerSettings(Settings):
    """Sanger. threshold: keys with a probability above threshold/65536 are kept; 0 to 65535. `scales` mean nothing."""

    threshold: int = round(0.002 * PROBABILITY_UNITY)

    def __post_init__(self) -> None:
        require_range("threshold", self.threshold, 0, PROBABILITY_UNITY - 1)


@dataclass(frozen=True)
class SpattenSettings(Settings):
    """SpAtten, over all layers of a model; one entry per layer. `scales` mean nothing.

    tokens: of the tokens that the model was given, how many 256ths are dropped by the time the layer starts; 0 to 255.
    heads: of all heads, likewise. Both start with 0, as nothing is known yet, and never fall: what is dropped stays so.
    values: of each row's kept keys, how many 256ths have their V left out, in every layer; 0 to 255.
    """

    tokens: tuple[int, ...] = (0,)
    heads: tuple[int, ...] = (0,)
    values: int = 0

    def __post_init__(self) -> None:
        for name, shares in (("tokens", self.tokens), ("heads", self.heads)):
            require(
                isinstance(shares, tuple) and len(shares) == len(self.tokens) > 0 and shares[0] == 0,
                f"{name} must hold a share for each layer, the first of them 0 and as many as tokens has, not "
                f"{shares!r}; for example (0, 0, 64, 128) for four layers.",
            )
            for share in shares:
                require_range(f"a share of {name}", share, 0, UNITY - 1)
            require(
                list(shares) == sorted(shares),
                f"{name} must never fall from one layer to the next, not {shares!r}; what is dropped stays dropped.",
            )
        require_range("values", self.values, 0, UNITY - 1)
