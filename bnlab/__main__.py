"""What bnlab does from the shell: `python -m bnlab examine checkpoint.pt`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

HEALTHY, ERRORS, UNREADABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say, and return the exit status.

    Args:
        arguments: Of the command line; None is `sys.argv`.
    """
    parser = argparse.ArgumentParser(prog="python -m bnlab")
    commands = parser.add_subparsers(dest="command", required=True)
    examine = commands.add_parser(
        "examine",
        help="look for what is wrong with the norms in a checkpoint file",
        description="Look for what is wrong with the norms in a checkpoint file: safetensors, or "
        "a state dict by torch.save. Nothing in it is executed.",
        epilog="Exit status: 0 without errors, 1 with errors, 2 if it could not be read.",
    )
    examine.add_argument("file", help="path of the checkpoint")
    examine.add_argument("--json", action="store_true", help="print JSON in place of text")
    options = parser.parse_args(arguments)
    return _examine(options.file, as_json=options.json)


def _examine(path: str, *, as_json: bool) -> int:
    # Not above, so that --help is there at once.
    from bnlab.checkpoint import CheckpointError
    from bnlab.examination import examine

    try:
        examination = examine(path)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    print(examination.to_json() if as_json else examination)
    return ERRORS if examination.errors else HEALTHY


if __name__ == "__main__":
    sys.exit(main())
