# SPDX-License-Identifier: Apache-2.0
"""Command line: reads the arguments, calls the subcommand, and turns refusals into one sentence."""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from config.errors import Refusal
from foreshift import __version__

REFUSED = 2
INTERRUPTED = 128 + 2  # 128 + SIGINT, as a shell reports it
ACCELERATORS = "spls, lapa, fact, dense, sanger or spatten"

# What the surroundings can deny to a program that is right: these become a sentence, any other OSError is a bug.
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR}
_DENIED |= {errno.EEXIST}  # a file where a folder has to be

_OURS = {"config", "golden", "hdl", "sim", "synth", "jobs", "tasks", "plug", "foreshift"}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence, like every other refusal."""

    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message} (see `{self.prog} --help`)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="foreshift", description="Sparse transformer accelerators, as hardware.")
    parser.add_argument("--version", action="version", version=f"foreshift {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    verilog = commands.add_parser(
        "verilog", help="write the synthesizable Verilog, a JSON sidecar per unit, C header, SystemRDL"
    )
    verilog.add_argument("--output", type=Path, default=Path("build/rtl"), help="folder to write to (%(default)s)")
    verilog.add_argument("--preset", default="all", metavar="NAME", help="preset to write, or all (%(default)s)")
    verilog.add_argument(
        "--units", nargs="+", default=["*"], metavar="NAME", help="units to write, or patterns of names (else all)"
    )
    verilog.set_defaults(module="foreshift.verilog")

    demo = commands.add_parser("demo", help="predict a sentence's attention in RTL simulation and draw it")
    demo.add_argument("--text", default=os.environ.get("TEXT"), help="the sentence (else $TEXT, else one is given)")
    demo.set_defaults(module="foreshift.demo")

    synth = commands.add_parser("synth", help="area, timing and energy of every array and unit on the 45 nm library")
    synth.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")
    synth.set_defaults(module="foreshift.synthesis")

    power = commands.add_parser("power", help="what layers of MiniLM take in each accelerator, from their activity")
    power.add_argument("--preset", default="minilm", metavar="NAME", help="hardware, tiny or minilm (%(default)s)")
    power.add_argument("--methods", nargs="+", metavar="NAME", help="spls, lapa, fact, dense and so on (else all)")
    power.add_argument("--layers", type=int, metavar="N", help="the first few layers (else all)")
    power.add_argument("--json", action="store_true", help="print the figures as JSON instead of tables")
    power.set_defaults(module="foreshift.power")

    fpga = commands.add_parser("fpga", help="the smallest accelerator on a Lattice ECP5: what it takes, how fast it is")
    fpga.add_argument("--method", default="spls", metavar="NAME", help=f"{ACCELERATORS} (%(default)s)")
    fpga.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")
    fpga.set_defaults(module="foreshift.fpga")

    evaluation = commands.add_parser("eval", help="accuracy and work left of each predictor on 26 benchmarks")
    evaluation.add_argument("--full", action="store_true", help="find each method's best setting; goes on where it was")
    evaluation.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")
    evaluation.set_defaults(module="foreshift.evaluation")

    sweep = commands.add_parser("sweep", help="how each setting trades answers for work, on calibration data")
    sweep.add_argument("--quick", action="store_true", help="a few points of each sweep on few items, for a look")
    sweep.add_argument("--json", action="store_true", help="print the figures as JSON instead of where they are")
    sweep.set_defaults(module="foreshift.sweep")

    _cycles(commands.add_parser("cycles", help="cycles of a model by the cycle model, and where prediction pays"))

    _simulate(commands.add_parser("simulate", help="layers of a random model through the RTL of an accelerator"))

    _run_model(commands.add_parser("run-model", help="all layers of a real model through the RTL of an accelerator"))

    report = commands.add_parser("report", help="write the report pages from the figures that were measured")
    report.set_defaults(module="foreshift.report")
    return parser


def _simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="tiny", metavar="NAME", help="hardware, tiny or minilm (%(default)s)")
    parser.add_argument("--method", default="spls", metavar="NAME", help=f"{ACCELERATORS} (%(default)s)")
    parser.add_argument("--tokens", type=int, metavar="N", help="of the sequence (else all the hardware takes)")
    parser.add_argument("--layers", type=int, default=1, metavar="N", help="one behind the other (%(default)s)")
    parser.add_argument("--order", default="post", metavar="NAME", help="where norms stand, post or pre (%(default)s)")
    parser.add_argument("--causal", action="store_true", help="a token attends to itself and earlier ones only")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of weights, input, settings (%(default)s)")
    _run_options(parser)
    parser.add_argument("--waves", type=Path, metavar="FILE", help="write waveforms, VCD; builds a slower simulation")
    parser.set_defaults(module="foreshift.simulate")


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-overlap", action="store_true", help="generation waits until all heads are predicted")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")


def _run_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="minilm", metavar="NAME", help="minilm or language (%(default)s)")
    parser.add_argument("--method", default="spls", metavar="NAME", help=f"{ACCELERATORS} (%(default)s)")
    parser.add_argument("--preset", default="minilm", metavar="NAME", help="hardware (%(default)s)")
    parser.add_argument("--text", default=os.environ.get("TEXT"), help="the model's (else $TEXT, else a sentence)")
    parser.add_argument(
        "--tokens", type=int, metavar="N", help="of the text, at the most (else all the hardware takes)"
    )
    parser.add_argument("--layers", type=int, metavar="N", help="the first few layers (else all)")
    _run_options(parser)
    parser.set_defaults(module="foreshift.run_model")


def _cycles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="bert-base", metavar="NAME", help="a named model (%(default)s)")
    parser.add_argument("--tokens", type=int, metavar="N", help="length of a sequence (else typical of the model)")
    parser.add_argument("--method", default="spls", metavar="NAME", help="spls, lapa, fact or dense (%(default)s)")
    parser.add_argument("--preset", metavar="NAME", help="hardware (else minilm or paper, by the model)")
    parser.add_argument(
        "--wider", type=int, default=1, metavar="N", help="a speculation unit of 1, 2 or 4 times the products (1)"
    )
    for name in ("queries", "keys", "scores", "projections", "ffn"):
        parser.add_argument(f"--{name}", type=float, metavar="SHARE", help=f"share of {name} that a plan leaves")
    parser.add_argument("--visited", type=float, nargs="*", metavar="SHARE", help="of LAPA's rounds behind the first")
    parser.add_argument("--plot", action="store_true", help="draw the speed-up against the length, to build/cycles")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of a table")
    parser.set_defaults(module="foreshift.cycle_model")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: done. 2: refused, with one sentence on stderr. 130: interrupted from the keyboard. A traceback is a bug.
    """
    try:
        args = _parser().parse_args(argv)
        # Imported by name and late: `verilog` must start without the simulator, the model and torch.
        importlib.import_module(args.module).run(args)
    except Refusal as refusal:
        print(f"foreshift: {refusal}", file=sys.stderr)
        return REFUSED
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package in _OURS:
            raise
        print(
            f"foreshift: this command needs the package {package}, which is not installed; run it through make, or "
            "install foreshift with the groups that pyproject.toml names (pip install '.[golden,sim,demo,synth]').",
            file=sys.stderr,
        )
        return REFUSED
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"foreshift: cannot write or read {where}{error.strerror}; make it accessible, or choose another folder.",
            file=sys.stderr,
        )
        return REFUSED
    except KeyboardInterrupt:
        print("foreshift: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0
