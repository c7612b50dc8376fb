"""The paper's numbers, against what its text says of them and against a second transcription of both tables."""

import pytest

from hssl.config import Mode
from hssl.paper import numbers as paper

# The tables as they are printed, columns A-SSL, H-SSL, frozen, supervised.
PRINTED = """
1 mnist rotation Rot-Eq. 68.2 ± 2.5 70.3 ± 5.4 87.2 ± 0.8 99.4 ± 0.1
1 mnist translation CNN 95.9 ± 0.3 96.0 ± 1.3 94.1 ± 0.3 99.2 ± 0.1
1 mnist scale SESN 98.6 ± 0.1 98.3 ± 0.2 94.7 ± 0.6 99.3 ± 0.1
1 cifar10 rotation Rot-Eq. 46.1 ± 0.6 48.3 ± 0.5 38.4 ± 0.1 73.0 ± 1.1
1 cifar10 translation CNN 39.2 ± 0.5 36.3 ± 1.1 40.4 ± 0.2 76.2 ± 1.4
1 cifar10 scale SESN 59.4 ± 0.2 56.7 ± 0.4 41.1 ± 0.6 78.0 ± 0.2
1 tiny-imagenet rotation Rot-Eq. 14.9 ± 0.3 13.5 ± 0.5 6.1 ± 0.2 22.5 ± 0.1
1 tiny-imagenet scale SESN 16.2 ± 0.4 14.0 ± 1.3 6.4 ± 0.2 23.7 ± 0.2
2 mnist translation MLP 87.6 ± 0.2 58.2 ± 0.5 83.0 ± 0.8 98.6 ± 0.1
2 mnist scale CNN_(6_x_CHW) 95.2 ± 0.1 87.2 ± 2.4 87.2 ± 0.6 99.3 ± 0.1
2 cifar10 scale CNN_(6_x_CHW) 53.6 ± 0.2 37.5 ± 0.1 43.6 ± 0.3 67.9 ± 2.1
""".strip().splitlines()
MODES: tuple[Mode, ...] = ("a-ssl", "h-ssl", "frozen", "supervised")


@pytest.mark.parametrize("line", PRINTED)
def test_each_row_is_as_printed(line: str) -> None:
    table, dataset, transformation, kind, *cells = line.split()
    for mode, shown in zip(MODES, " ".join(cells).replace(" ± ", "±").split(), strict=True):
        number = paper.NUMBERS[(dataset, transformation, kind.replace("_", " "), mode)]  # type: ignore[index]
        assert number.table == int(table)
        assert f"{number.mean:.1f}±{number.std:.1f}" == shown
        assert str(number).replace(" ", "") == shown


def test_there_are_no_other_cells() -> None:
    assert len(paper.NUMBERS) == 4 * len(PRINTED)
    with pytest.raises(TypeError):
        paper.NUMBERS[("mnist", "scale", "SESN", "a-ssl")] = paper.PaperNumber(1, 1, 1)  # type: ignore[index]


def test_what_the_text_concludes_holds_for_the_numbers() -> None:
    """'H-SSL methods perform similar to, or worse than, the frozen baseline when equivariance is removed' (table 2)."""
    for (dataset, transformation, kind, mode), number in paper.NUMBERS.items():
        assert 0 < number.std < 10
        assert number.std < number.mean < 100
        if number.table == 2 and mode == "h-ssl":
            frozen = paper.NUMBERS[(dataset, transformation, kind, "frozen")]
            supervised = paper.NUMBERS[(dataset, transformation, kind, "supervised")]
            assert number.mean <= frozen.mean < supervised.mean


def test_steps_are_whole_batches_of_4096() -> None:
    assert {dataset: paper.steps(dataset) for dataset in paper.EPOCHS} == {
        "mnist": 500 * 14,
        "cifar10": 1300 * 12,
        "tiny-imagenet": 1300 * 24,
    }


@pytest.mark.parametrize("entry", [paper.HSSL, paper.SESN, paper.SIMCLR, paper.LARS])
def test_citations_are_balanced_bibtex(entry: str) -> None:
    assert entry.startswith("@")
    assert entry.count("{") == entry.count("}") >= 5
    assert all(field in entry for field in ("title", "author", "year"))
