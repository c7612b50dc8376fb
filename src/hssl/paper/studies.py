"""Studies beyond the paper's protocol: what the paper leaves open, asked of its own networks. Imports no torch.

A study changes one thing and keeps the rest. Readout, linear probe, kNN and the equivariance error before and after
training are in every evaluation and need no runs of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hssl.config import Config, Mode, flat_fields
from hssl.paper.recipes import MODES, STEMS

FULL_WIDTH = "full width"
_SELF_SUPERVISED: tuple[Mode, ...] = ("a-ssl", "h-ssl")
_EVERY: tuple[Mode, ...] = tuple(MODES.values())


@dataclass(frozen=True)
class Study:
    """A question and its answers, each tried with the same recipes.

    Attributes:
        name: one word, for a cell's `study`.
        title: for people.
        question: what is compared, and why.
        source: where the paper, or docs/decisions.md, bears on it.
        stems: recipes without their mode.
        modes: what is trained.
        variants: by name, the fields that make it, over the recipe's. Fields that a budget's recipe has already change
            nothing, and the run is the recipe's.
    """

    name: str
    title: str
    question: str
    source: str
    stems: tuple[str, ...]
    modes: tuple[Mode, ...]
    variants: Mapping[str, Mapping[str, Any]]


def _structured(*transformations: str) -> tuple[str, ...]:
    """The stems of table 1, in its order."""
    kinds = ("Rot-Eq.", "CNN", "SESN")
    rows = {name: stem.row for name, stem in STEMS.items() if stem.row is not None and stem.row[2] in kinds}
    return tuple(name for name, row in rows.items() if not transformations or row[1] in transformations)


STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        study.name: study
        for study in (
            Study(
                "loss",
                "The loss: equations 2 and 3, or NT-Xent",
                "Equations 2 and 3 leave the positive pair out of the denominator; SimCLR's NT-Xent, which the paper "
                "names as its loss, has it there. Does that matter?",
                "Keller et al. 2023, equations 2 and 3; Chen et al. 2020, equation 1; docs/decisions.md, row 1",
                _structured(),
                _SELF_SUPERVISED,
                {"contrastive": {"method.objective": "contrastive"}, "nt-xent": {"method.objective": "nt-xent"}},
            ),
            # Sampled streams cannot have a readout alongside; with different readouts the two could not be compared.
            Study(
                "streams",
                "Streams: all, or only those that a pair reads",
                "The paper computes every group element of every image, and a pair reads two of them. BatchNorm sees "
                "fewer rows where the others are left out: what does that do to accuracy? Both read afterwards.",
                "Keller et al. 2023, appendix B; docs/decisions.md, row 20",
                _structured("rotation", "scale"),
                _SELF_SUPERVISED,
                {
                    "all": {"views.streams": "all", "evaluation.readout": "afterwards"},
                    "sampled": {"views.streams": "sampled", "evaluation.readout": "afterwards"},
                },
            ),
            # Networks whose streams mix compute all of them: so does what they are compared with.
            Study(
                "kernels",
                "Rotations: kernels of one rotation, or full p4 kernels",
                "Equation 4 sums over all elements of the input group; the paper's rotated copies of the basis mix no "
                "rotations. What is the sum over all four worth, with the four times as many weights that it takes?",
                "Keller et al. 2023, appendix B and equation 4; Cohen and Welling 2016, section 6",
                _structured("rotation"),
                _EVERY,
                {
                    "one": {"views.streams": "all"},
                    "p4": {"backbone.full_extent": True, "views.streams": "all"},
                },
            ),
            Study(
                "basis",
                "Scales: the paper's truncated basis, or an untruncated one",
                "The paper's filters are cut off at whole pixels, some scales sooner than others, so its network "
                "obeys the law of scales less well than its theory assumes. Does a basis that obeys it learn more?",
                "Sosnovik et al. 2020, basis type A; docs/decisions.md, 'What the equivariance figures mean'",
                _structured("scale"),
                _EVERY,
                {"sesn": {"backbone.basis": "sesn"}, "untruncated": {"backbone.basis": "untruncated"}},
            ),
            Study(
                "width",
                "Random weights: as narrow as the budget's, or of the paper's width",
                "Short budgets train narrow networks, and compare them with the same at random weights. What does "
                "a random network of the paper's full width reach?",
                "docs/decisions.md, row 10",
                _structured(),
                ("frozen",),
                {"as trained": {}, FULL_WIDTH: {"backbone.width": 1.0}},
            ),
            Study(
                "small-maps",
                "Tiny ImageNet: translations on maps of 4 x 4",
                "The paper leaves this row of table 1 out: its maps are 'too small to allow for effective H-SSL "
                "training'. What do A-SSL and H-SSL learn on them?",
                "Keller et al. 2023, appendix B",
                ("tiny-imagenet-translation",),
                _EVERY,
                {"4x4": {}},
            ),
            Study(
                "joint",
                "The joint group: rotation or scale x position",
                "The paper averages over positions before h unless positions are the group. Without that g0 is an "
                "element of both: what does H-SSL learn from moving along both?",
                "Keller et al. 2023, appendix B; docs/decisions.md, row 4",
                _structured("rotation", "scale"),
                _SELF_SUPERVISED,
                {
                    "pooled": {"views.streams": "all"},
                    "joint": {"views.joint": True, "views.streams": "all"},
                },
            ),
        )
    }
)
"""By name, in the order of the report."""


def effective(changes: Mapping[str, Any], config: Config) -> Mapping[str, Any]:
    """The changes without those that leave `config` as it is: two runs with the same ones are the same run.

    A field that none of its parts has leaves it as it is.
    """
    fields = flat_fields(config.model_dump(mode="python"))
    return MappingProxyType({name: value for name, value in changes.items() if fields.get(name, value) != value})


def word(name: str, value: Any) -> str:
    """How a changed field is written in the name of a run: ('views.base_size', (3, 3)) is 'base-3'."""
    if name == "views.base_size":
        return f"base-{value if isinstance(value, int) else value[0]}"
    if name == "views.max_distance":
        return "any-distance" if value is None else f"distance-{value:g}"
    return _WORDS[name, value]


_WORDS: dict[tuple[str, Any], str] = {
    ("method.objective", "nt-xent"): "nt-xent",
    ("views.streams", "all"): "all-streams",
    ("views.streams", "sampled"): "sampled-streams",
    ("evaluation.readout", "afterwards"): "read-afterwards",
    ("backbone.full_extent", True): "p4",
    ("backbone.basis", "untruncated"): "untruncated",
    ("views.joint", True): "joint",
    ("backbone.reading", "shared-trunk"): "shared-trunk",
    ("backbone.width", 1.0): "full-width",
}
