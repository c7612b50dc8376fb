"""The runs of `hssl compare`: rows of the tables in every mode, or fields in every value. Imports no torch."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hssl.config import CUSTOM, Config, Mode, fields_of, override, override_where
from hssl.errors import ConfigurationError
from hssl.paper.recipes import MODES, recipe, recipe_name, recipe_names
from hssl.parts import KINDS
from hssl.places import from_environment


def configurations(
    stems: Sequence[str],
    modes: Sequence[Mode] | None,
    seeds: Sequence[int],
    budget: str,
    vary: Mapping[str, Sequence[str]],
    overrides: Mapping[str, Any],
) -> dict[str, Config]:
    """The runs of a comparison by name, seeds outermost: after one round every line of its table has a number.

    Args:
        stems: recipes without their mode, e.g. `digits-translation`; whole recipes or `custom` where fields vary.
        modes: what to run each stem in; None for all, and for whole recipes.
        seeds: one run for each.
        budget: smoke, quick, long or paper.
        vary: values by field; every combination is run.
        overrides: fields by dotted name. One that only some of the parts have is set where it is.

    Raises:
        ConfigurationError: fields that do not hold, or that none of the runs has.
    """
    whole = [stem for stem in stems if stem == CUSTOM or stem in recipe_names()]
    if whole and modes is not None:
        raise ConfigurationError(
            "a whole recipe has its mode", got=f"{whole[0]} with --modes", hint="leave --modes out, or the mode"
        )
    every = tuple(MODES.values()) if modes is None else modes
    names = [
        name for stem in stems for name in ([stem] if stem in whole else [recipe_name(stem, mode) for mode in every])
    ]
    changes = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    chosen: dict[str, tuple[Config, dict[str, Any]]] = {}
    for seed in seeds:
        for name in names:
            for varied in changes:
                slug = "".join(f"-{field.rpartition('.')[2]}-{_slug(value)}" for field, value in varied.items())
                parts = {field: value for field, value in varied.items() if _names_a_part(field)}
                base = override(recipe(name, budget), parts)
                chosen[f"{name}{slug}-{budget}-seed{seed}"] = (base, {**varied, "seed": seed})
    every_part = [config for config, _ in chosen.values()]
    made = {
        cell: override(override_where(config, overrides, every_part), varied)
        for cell, (config, varied) in chosen.items()
    }
    for field, value in overrides.items():
        if not _names_a_part(field) and not any(field in fields_of(config) for config in made.values()):
            override(next(iter(made.values())), {field: value})
    return made if "data.root" in overrides else {cell: from_environment(config) for cell, config in made.items()}


def _names_a_part(field: str) -> bool:
    return field in KINDS or field.removesuffix(".name") in KINDS


def _slug(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", value).strip("-")
