"""Colours of pages in light, dark and print, by what they are for.

Those of the modes can be told apart by people with each of the three kinds of colour blindness; a mode has a shape of
its own besides (`plots.py`).
"""

LIGHT = {
    "page": "#fbfbfa", "card": "#ffffff", "ink": "#1c1e21", "muted": "#565c64", "grid": "#dfe1e4", "note": "#f3f1ea",
    "accent": "#1d55b8", "paper": "#1c1e21",
    "a-ssl": "#2b5be0", "h-ssl": "#d96710", "hybrid": "#993c90", "frozen": "#464b52", "supervised": "#2c9c82",
}  # fmt: skip
DARK = {
    "page": "#15171a", "card": "#1c1f23", "ink": "#e8eaed", "muted": "#a9afb7", "grid": "#383d44", "note": "#22262a",
    "accent": "#8ab6ff", "paper": "#e8eaed",
    "a-ssl": "#5a8ff5", "h-ssl": "#f3a23f", "hybrid": "#d65aa6", "frozen": "#a3aab3", "supervised": "#7fead0",
}  # fmt: skip
PRINT = LIGHT | {
    "page": "#ffffff", "card": "#ffffff", "ink": "#000000", "muted": "#444444", "grid": "#c4c7cb", "note": "#f6f5f1",
    "accent": "#000000", "paper": "#000000",
}  # fmt: skip
