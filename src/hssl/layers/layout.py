"""How the rows [R, C, H, W] of a network lie: which stream's filters each row sees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RowLayout:
    """The streams of a batch of rows.

    Attributes:
        counts: rows of each stream, stream after stream. A single count says that every row sees the filters of the
            first stream: a group of one stream, or rows that were moved so that one filter serves all.
        interleaved: rows lie image after image with all streams of each, as the plain formulation has them: every layer
            is then one dense convolution, grouped by stream, of kernels built anew.
    """

    counts: tuple[int, ...]
    interleaved: bool = False

    @property
    def total(self) -> int:
        """R, all rows."""
        return sum(self.counts)
