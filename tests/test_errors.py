"""The family of errors: complete messages, that survive a process border."""

import pickle

import pytest

from hssl.errors import ConfigurationError, DataError, GroupError, HsslError, RunFolderError, SizeError, nearest

FAMILY = (ConfigurationError, DataError, GroupError, RunFolderError, SizeError)


@pytest.mark.parametrize("kind", FAMILY)
def test_message_says_what_it_got_what_it_expected_and_a_hint(kind: type[HsslError]) -> None:
    error = kind("it does not fit", got=3, expected="4, 5", hint="give 4")
    assert str(error) == "it does not fit\n  got:      3\n  expected: 4, 5\n  hint:     give 4"
    assert error.problem == "it does not fit"


def test_message_leaves_out_what_is_not_known() -> None:
    assert str(DataError("it is empty")) == "it is empty"
    assert str(DataError("it is empty", got=0)) == "it is empty\n  got:      0"


@pytest.mark.parametrize("kind", FAMILY)
def test_an_error_crosses_a_process_border_whole(kind: type[HsslError]) -> None:
    error = kind("it does not fit", got=3, hint="give 4")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), copy.problem) == (str(error), error.problem)


def test_callers_can_catch_the_builtin_kind() -> None:
    assert issubclass(RunFolderError, OSError)
    assert all(issubclass(kind, ValueError) for kind in FAMILY if kind is not RunFolderError)
    # A message that was taken for an errno would print as '[Errno ...]'.
    assert RunFolderError("no", hint="yes").errno is None


def test_nearest_names_the_near_word_or_the_way_to_all_of_them() -> None:
    assert nearest("mnist-scale", ["mnist-scales", "cifar10"]) == "did you mean 'mnist-scales'?"
    assert nearest("zzz", ["b", "a"]) == "choose one of: a, b"
    assert nearest("zzz", ["b", "a"], "see the list") == "see the list"
    assert nearest("zzz", ["b", "a"], "") == ""
    assert nearest("a1", ["b1", "a1x"], "see the list") == "did you mean 'a1x'?"


def test_of_a_dotted_name_the_last_part_tells_which_is_near() -> None:
    known = ["optimizer.name", "optimizer.learning_rate", "trainer.epochs", "optimizer.momentum"]
    assert nearest("optimizer.lrr", known) == "did you mean 'optimizer.learning_rate'?"
    assert nearest("optimizer.nam", known) == "did you mean 'optimizer.name'?"
    assert nearest("trainr.epochs", known) == "did you mean 'trainer.epochs'?"
