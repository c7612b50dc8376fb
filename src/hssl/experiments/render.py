"""Render committed records into the README: `python -m hssl.experiments.render results/quick README.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from hssl.errors import HsslError
from hssl.experiments.record import read_all
from hssl.experiments.report import update_readme


def main(arguments: list[str]) -> int:
    """FOLDER README: put the comparison of FOLDER's records between the README's markers. Returns the exit code."""
    if len(arguments) != 2:
        print("usage: python -m hssl.experiments.render FOLDER README", file=sys.stderr)
        return 2
    folder, readme = map(Path, arguments)
    try:
        update_readme(readme, read_all(folder))
    except HsslError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
