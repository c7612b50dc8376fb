"""`hssl recipes`: what there is to train, and every field of the configuration."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

from hssl.commands.terminal import table
from hssl.errors import ConfigurationError, nearest
from hssl.parts import KINDS


def recipes(pattern: str | None) -> int:
    """List the recipes that a part of a name or a pattern matches."""
    from hssl.paper.recipes import describe, recipe_names

    names = recipe_names()
    if pattern is not None:
        wild = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
        names = tuple(fnmatch.filter(names, wild))
        if not names:
            hint = nearest(pattern, recipe_names(), "hssl recipes lists all of them")
            raise ConfigurationError(f"no recipe matches '{pattern}'", hint=hint)
    cards = [describe(name) for name in names]
    rows = [
        (
            card.name,
            str(card.expected or "-"),
            f"{card.gpu_hours} GPU h" if card.gpu_hours else "-",
            *(f"< {card.minutes[budget]:g} min" for budget in ("smoke", "quick")),
            card.source,
        )
        for card in cards
    ]
    columns = ("recipe", "expected %", "paper's cost", "smoke", "quick", "source in the paper")
    table(columns, rows, droppable=("smoke", "quick", "paper's cost"))
    print()
    if len(cards) == 1:
        print(cards[0].summary)
    print("expected: top-1 test accuracy in the paper, mean ± std over 3 runs; smoke, quick: a run on two CPU cores")
    print(f"to run one: {cards[0].command}")
    return 0


def fields(overrides: Mapping[str, str]) -> int:
    """List every field of the configuration with what it accepts and its default; of one's own parts where named."""
    from hssl.config import Config, accepted_by, fields_of_parts, override

    config = override(Config(), overrides)
    rows = []
    for name, parts, field in fields_of_parts(config):
        kind, _, inner = name.partition(".")
        if kind in KINDS and inner == "name":
            ours = ", ".join(KINDS[kind].named)
            rows.append(
                (
                    f"--{name}",
                    "name | my_module:MyClass",
                    getattr(config, kind).name,
                    f"--{kind} is short for it: {ours}",
                )
            )
        else:
            told = f"{parts}: {field.description}" if parts else str(field.description)
            rows.append((f"--{name}", *accepted_by(field), told))
    table(("field", "accepts", "default", "what it is"), rows)
    print("\nThe defaults are those of a bare configuration; a recipe and a budget set their own.")
    print("Your own part is named by its import path: hssl recipes --fields --method.name my_module:MyMethod")
    return 0
