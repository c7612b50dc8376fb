"""`hssl` and the runs of its grids, forked from a process that has imported everything: at hand at once.

`serve` is that process. A client, a Python without its site, hands its own standard streams, environment and words over
and ends as what was forked for it does. What is forked joins the client's process group: who kills that kills both. All
in it is the package's own but one thing: how a grid starts the process of a run.

An environment variable tells a process to kill its whole group at a certain place, see `PLACES`.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

KILL_AT = "KILL_AT"
PLACES = {
    "claim": "before a run's config.yaml gets its name",
    "step": "in the middle of an epoch",
    "metrics": "half-way through a line of metrics.jsonl",
    "checkpoint": "before a checkpoint gets its name",
    "evaluation": "before evaluation.json gets its name",
    "record": "before a record gets its name",
    "report": "before the report's page gets its name, its text being there",
}
"""Where a process can be told to kill itself and its group, each the first time that it comes there."""

KILL_AFTER = "KILL_AFTER"
"""Kill at the N-th time that any of the processes opens, renames, removes or makes something in the grid's folder."""
COUNTED_IN = "COUNTED_IN"
"""A file, elsewhere, of as many bytes as there were such times."""

NOT_ATOMIC = "NOT_ATOMIC"
"""Names a writer that writes into the file itself and is killed between two halves: a control."""
FAIL = "FAIL"
"""Names a run whose training fails."""
WITHOUT_LOCKS = "WITHOUT_LOCKS"
"""Nobody waits for anybody: a control."""


def start(place: Path) -> subprocess.Popen[bytes]:
    """The server at a socket, ready to be asked."""
    process = subprocess.Popen(
        [sys.executable, __file__, "serve", str(place)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError("the server did not start")
    return process


def client(place: Path | str, *words: str) -> list[str]:
    """The command that does `hssl ...`, or `cell ...`, by way of the server at that socket."""
    return [sys.executable, "-S", "-E", __file__, "ask", str(place), *words]


def _ask(place: str, words: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        asked = json.dumps(
            {"words": words, "environment": dict(os.environ), "group": os.getpgid(0), "folder": os.getcwd()}
        )
        socket.send_fds(connection, [f"{len(asked.encode()):8d}".encode()], [0, 1, 2])
        connection.sendall(asked.encode())
        answer = connection.recv(16)
    return int(answer or b"1")


def _serve(place: str) -> None:
    import hssl.cli
    import hssl.commands.compare
    import hssl.report.reproduction
    import hssl.training.engine  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _attend(connection, place)
            connection.close()


def _attend(connection: socket.socket, place: str) -> None:
    """In a process of its own: fork what was asked for, wait for it and tell its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    asked = json.loads(connection.recv(int(head), socket.MSG_WAITALL))
    child = os.fork()
    if child:
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        with suppress(BrokenPipeError):
            connection.sendall(str(os.waitstatus_to_exitcode(status) % 256).encode())
        os._exit(0)
    try:
        os.setpgid(0, asked["group"])
    except OSError:
        os._exit(1)
    connection.setblocking(False)
    try:
        if connection.recv(1, socket.MSG_PEEK) == b"":
            os._exit(1)  # the group was killed before this process was in it
    except BlockingIOError:
        pass
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    code = 1
    try:
        code = _do(place, asked["words"])
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _do(place: str, words: list[str]) -> int:
    from hssl import cli
    from hssl.runs import grid as reproduce
    from hssl.runs import run as cell

    if COUNTED_IN in os.environ:
        folder = words[1] if words[0] == "cell" else words[words.index("--out") + 1]
        _count(folder, os.environ[COUNTED_IN], int(os.environ.get(KILL_AFTER, "0")))
    _prepare(os.environ.get(KILL_AT), os.environ.get(NOT_ATOMIC))
    if WITHOUT_LOCKS in os.environ:
        from hssl.training import run_folder

        cell.FileLock.acquire = lambda *_, **__: None  # type: ignore[assignment,method-assign]
        run_folder.locked = lambda _: nullcontext(True)  # type: ignore[assignment]
    if words[0] == "cell":
        if os.environ.get(FAIL) == words[2]:
            from hssl.training import engine

            engine.train = _fail
        return cell.main(words[1:])
    reproduce.command = lambda folder, name: client(place, "cell", str(folder.path), name)
    return cli.main(words[1:])


def _fail(*_: Any) -> Any:
    raise ZeroDivisionError("of all things")


# -- where processes die -----------------------------------------------------------------------------------------------


def _die() -> None:
    os.killpg(0, signal.SIGKILL)


def _count(folder: str, file: str, last: int) -> None:
    counter = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(arguments[0]).startswith(folder):
            os.write(counter, b".")
            if os.fstat(counter).st_size >= last > 0:
                _die()

    sys.addaudithook(heard)


def _prepare(kill_at: str | None, not_atomic: str | None) -> None:
    from hssl.training.module import SSLModule
    from hssl.training.run_folder import RunFolder

    if not_atomic is not None:
        _write_in_halves(not_atomic)
    if kill_at in ("claim", "checkpoint", "evaluation", "record", "report"):
        _before_it_gets_its_name(kill_at)
    elif kill_at == "step":
        step = SSLModule.training_step

        def doomed(self: Any, *arguments: Any) -> Any:
            if self.trainer.global_step % 4 == 2:
                _die()
            return step(self, *arguments)

        SSLModule.training_step = doomed  # type: ignore[method-assign]
    elif kill_at == "metrics":

        def half(self: RunFolder, line: Any) -> None:
            with self.metrics_file.open("a") as stream:
                text = json.dumps(line)
                stream.write(text[: len(text) // 2])
            _die()

        RunFolder.append_metrics = half  # type: ignore[method-assign]


def _is(place: str, file: Path) -> bool:
    names = {
        "claim": "config.yaml",
        "checkpoint": "last.ckpt",
        "evaluation": "evaluation.json",
        "report": "report.html",
    }
    return file.parent.name == "records" if place == "record" else file.name == names[place]


def _before_it_gets_its_name(place: str) -> None:
    replace = Path.replace

    def doomed(self: Path, target: Path) -> Path:
        if _is(place, Path(target)):
            _die()
        return replace(self, target)

    Path.replace = doomed  # type: ignore[method-assign]


def _write_in_halves(place: str) -> None:
    """A writer of the simple kind, killed between its halves where the place is that of the kill, too."""
    from hssl.report import reproduction
    from hssl.runs import record

    def written(file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8") as stream:
            stream.write(text[: len(text) // 2])
            stream.flush()
            if _is(place, file):
                _die()
            stream.write(text[len(text) // 2 :])

    module = record if place == "record" else reproduction
    module.write_atomically = written  # type: ignore[attr-defined]


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2])
    else:
        sys.exit(_ask(sys.argv[2], sys.argv[3:]))
