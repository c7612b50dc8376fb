"""One run of a grid in a process of its own: `python -m hssl.runs.run FOLDER NAME`, configuration on stdin.

Whatever goes wrong in it - an error, memory that runs out, a kill - goes wrong in it alone. A lock that the system lets
go with the process keeps two from making the same run; a record is written last, in one step, and never again.

Exit codes: 0 the record is there, 2 something the user can mend, 1 another error, 75 another process makes this run,
143 and 129 ended by SIGTERM and SIGHUP.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from pathlib import Path

from filelock import FileLock, Timeout

from hssl.config import Config, differences, parse
from hssl.errors import DataError, HsslError, RunFolderError
from hssl.files import remove_leftovers, write_atomically
from hssl.runs.record import RunRecord, collect, read, write
from hssl.signals import endable, name_of
from hssl.training.run_lock import RunInUseError

BUSY = 75


class GridFolder:
    """Where a grid's runs lie, and everything about each of them.

    runs/NAME/ what training keeps; records/NAME.json; failures/NAME.txt the error of the last try; logs/NAME.txt what
    the process said; locks/NAME.lock held while a process makes the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, name: str) -> Path:
        return self.path / "runs" / name

    def record_file(self, name: str) -> Path:
        return self.path / "records" / f"{name}.json"

    def failure_file(self, name: str) -> Path:
        return self.path / "failures" / f"{name}.txt"

    def log_file(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.txt"

    def lock(self, name: str) -> FileLock:
        """Not waited for: whoever does not get it does something else first."""
        file = self.path / "locks" / f"{name}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(file, timeout=0)

    def remove_leftovers(self, name: str) -> None:
        """What killed processes have left half-written for this run; for the holder of its lock alone."""
        for file in (self.record_file(name), self.failure_file(name)):
            remove_leftovers(file.parent, file.name)
        remove_leftovers(self.run(name))

    def record(self, name: str, config: Config) -> RunRecord | None:
        """The record of this very run; None where there is none yet.

        Raises:
            DataError: what lies there is damaged.
            RunFolderError: it is the record of another run.
        """
        file = self.record_file(name)
        if not file.exists():
            return None
        record = read(file)
        if record.identity != config.identity():
            lines = differences(parse(record.configuration), config)
            raise RunFolderError(
                f"{file} is the record of a run with other settings",
                got="; ".join(lines[:5]) + (f" and {len(lines) - 5} more" if len(lines) > 5 else ""),
                expected="the run that is there; records are never replaced",
                hint="repeat its settings, or choose another folder with --out",
            )
        return record

    def check_budget(self, budget: str) -> None:
        """Refuse a folder that holds runs of another budget: no report may mix them.

        Raises:
            RunFolderError: it does.
        """
        files = sorted((self.path / "records").glob("*-seed*.json"))
        others = [file.stem for file in files if f"-{budget}-seed" not in file.stem]
        if others:
            raise RunFolderError(
                f"{self.path} holds runs of another budget",
                got=f"--budget {budget}, and {others[0]}" + (f" and {len(others) - 1} more" if others[1:] else ""),
                expected="one folder for each budget",
                hint="choose another folder with --out",
            )

    def failure(self, name: str) -> str | None:
        """What the last try died of."""
        file = self.failure_file(name)
        return file.read_text(encoding="utf-8").strip() if file.exists() else None


def make(folder: GridFolder, name: str, config: Config) -> RunRecord:
    """Train, or go on; evaluate; write the record. What is done is not repeated.

    Raises:
        HsslError: as `train` and `evaluate_run`; or the record of another run lies there.
    """
    try:
        if (there := folder.record(name, config)) is not None:
            return there
    except DataError:
        # Kept, since somebody may want to see it; a run's own folder still holds what it was made from.
        _put_aside(folder.record_file(name))
    from hssl.training.engine import train
    from hssl.training.evaluate import evaluate_run

    train(config, folder.run(name))
    evaluate_run(folder.run(name))
    record = collect(folder.run(name))
    write(record, folder.record_file(name))
    return record


def main(arguments: list[str]) -> int:
    """FOLDER NAME, and the configuration as JSON on stdin. Returns the exit code."""
    if len(arguments) != 2:
        print("usage: python -m hssl.runs.run FOLDER NAME < config.json", file=sys.stderr)
        return 2
    folder, name = GridFolder(Path(arguments[0])), arguments[1]
    try:
        tree = json.load(sys.stdin)
    except ValueError as error:
        # Whoever started this was killed before it could say what to do: no word on the run itself.
        print(f"no configuration on stdin: {error}", file=sys.stderr)
        return 2
    lock = folder.lock(name)
    try:
        lock.acquire()
    except Timeout:
        return BUSY
    folder.remove_leftovers(name)
    # What the last try died of: this one may be killed before it can say anything.
    folder.failure_file(name).unlink(missing_ok=True)
    try:
        make(folder, name, parse(tree))
    except RunInUseError:  # by who trains this run without its grid
        return BUSY
    except HsslError as error:
        write_atomically(folder.failure_file(name), f"{error}\n")
        print(error, file=sys.stderr)
        return 2
    except Exception as error:
        write_atomically(folder.failure_file(name), f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")
        traceback.print_exc()
        return 1
    finally:
        lock.release()
    return 0


def _put_aside(file: Path) -> None:
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    file.replace(aside)


if __name__ == "__main__":
    # Behind nohup, and in the background of a shell, it is ignored; but by it a run is told to stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(endable(lambda: main(sys.argv[1:]), lambda number: print(f"ended by {name_of(number)}", file=sys.stderr)))
