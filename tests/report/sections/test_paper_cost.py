"""What the paper costs is counted from its cells: each run once, at the hours that it reports."""

from hssl.paper import numbers as paper
from hssl.report.document import Number
from hssl.report.sections.paper_cost import paper_cost


def test_each_run_is_counted_once() -> None:
    lines = {line[:2]: [cell.value for cell in line[2:] if isinstance(cell, Number)] for line in paper_cost(3).lines}
    # 3 + 2 rows of MNIST, 3 + 1 of CIFAR-10 and 2 of Tiny ImageNet, four modes each.
    assert lines["MNIST", "tables 1 and 2"] == [60, 500 * 14, 60 * 8]
    assert lines["CIFAR-10", "tables 1 and 2"] == [48, 1300 * 12, 48 * 640]
    assert lines["Tiny ImageNet", "tables 1 and 2"] == [24, 1300 * 24, 24 * 640]
    # Figure 2 has 3 + 5 + 5 extents and 3 + 6 + 6 distances; in each of its six rows one point is table 1's run.
    assert lines["CIFAR-10", "figure 2 beside"] == [3 * (28 - 6), 1300 * 12, 66 * 640]
    assert lines["All", ""] == [198, None, 60 * 8 + 138 * 640]


def test_three_seeds_come_to_what_the_paper_reports_in_total() -> None:
    (total,) = (line[-1].value for line in paper_cost().lines if line[0] == "All" and isinstance(line[-1], Number))
    assert total is not None
    assert abs(total / paper.TOTAL_GPU_HOURS - 1) < 0.1
