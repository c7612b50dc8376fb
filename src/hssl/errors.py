"""One family of errors. Each says what is wrong, what it got, what it expected, and a hint what to do.

The command line turns every `HsslError` into its message and exit code 2; anything else is a bug and keeps its
traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class HsslError(Exception):
    """Something a user can mend. The message is complete: it can be shown as it stands."""

    def __init__(self, problem: str, *, got: object = None, expected: object = None, hint: str | None = None) -> None:
        lines = [problem]
        if got is not None:
            lines.append(f"  got:      {got}")
        if expected is not None:
            lines.append(f"  expected: {expected}")
        if hint is not None:
            lines.append(f"  hint:     {hint}")
        super().__init__("\n".join(lines))
        self.problem = problem

    # Errors cross process borders; the default reduction calls __init__ with the joined message and loses `problem`.
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), str(self), self.problem))


def _rebuild(kind: type[HsslError], message: str, problem: str) -> HsslError:
    error = kind(message)
    error.problem = problem
    return error


class ConfigurationError(HsslError, ValueError):
    """A recipe, field or value of the configuration that does not exist or is out of range."""


class GroupError(HsslError, ValueError):
    """A group operation that the group does not have, or elements that do not belong to it."""


class SizeError(HsslError, ValueError):
    """A shape that does not fit, or an input size that would break a network's exact equivariance."""


class DataError(HsslError, ValueError):
    """Data that is missing, empty, truncated, inconsistent or unreadable."""


class RunFolderError(HsslError, OSError):
    """An output folder that holds something else, or a run's folder that is not one."""


def nearest(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """A hint that names the known word nearest to `word`; `otherwise` replaces the whole list where none is near."""
    names = sorted(known)
    # Of a dotted name the section is mostly right, and as long as the rest: only the last part tells fields apart.
    section, _, last = word.rpartition(".")
    siblings = [name.rpartition(".")[2] for name in names if section and name.rpartition(".")[0] == section]
    close = [f"{section}.{name}" for name in get_close_matches(last, siblings, n=1, cutoff=0.35)]
    close = close or get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    if otherwise is not None:
        return otherwise
    return f"choose one of: {', '.join(names)}"
