"""How the report looks: one style sheet for light and dark, wide and narrow screens, and print.

The colours of the modes can be told apart by people with each of the three kinds of colour blindness; a mode has a
shape of its own besides (`plots.py`).
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


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{role}: {colour};" for role, colour in colours.items())


CSS = (
    f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
@media print {{ :root {{ color-scheme: light; {_variables(PRINT)} }} }}
"""
    """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  --surface: var(--page); --shade: color-mix(in srgb, var(--ink) 18%, transparent);
  margin: 0 auto; padding: 2.75rem 1.5rem 4rem; max-width: 76rem; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 1rem; letter-spacing: -0.015em; max-width: 48rem; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 3.25rem 0 0.6rem; letter-spacing: -0.005em; }
h3 { font-size: 1.05rem; line-height: 1.35; margin: 2rem 0 0.4rem; font-weight: 600; }
h4 { font-size: 0.95rem; line-height: 1.4; margin: 1.4rem 0 0.3rem; font-weight: 600; }
h1, h2, h3, h4 { text-wrap: balance; }
h1, h2, h3, h4, section { scroll-margin-top: 1rem; }
p, ul { max-width: 46rem; margin: 0.5rem 0; text-wrap: pretty; }
ul { padding-left: 1.3rem; }
li { margin: 0.25rem 0; }
a { color: var(--accent); }
.together { white-space: nowrap; }
.lead { font-size: 1.12rem; }
.caption { color: var(--muted); font-size: 0.9rem; line-height: 1.5; }
.note {
  --surface: var(--note); background: var(--note); border-left: 4px solid var(--accent);
  border-radius: 4px 10px 10px 4px; padding: 0.9rem 1.2rem; margin: 1rem 0; max-width: 50rem;
}
.note > :first-child, figure > :first-child { margin-top: 0; }
.note > :last-child { margin-bottom: 0; }
.contents { display: flex; flex-wrap: wrap; gap: 0.1rem 1.2rem; margin: 1.2rem 0; font-size: 0.93rem; }
.contents a { text-decoration: none; padding: 0.15rem 0; }
.contents a:hover { text-decoration: underline; }

/* A table wider than the screen is scrolled under its first column; shades at its sides tell that there is more. */
.scroll {
  overflow-x: auto; -webkit-overflow-scrolling: touch; margin: 0.9rem 0; max-width: 100%;
  background:
    linear-gradient(to left, var(--surface) 40%, transparent) right / 2.5rem 100% no-repeat local,
    linear-gradient(to left, var(--shade), transparent) right / 0.8rem 100% no-repeat scroll;
}
table { border-collapse: separate; border-spacing: 0; font-size: 0.93rem; font-variant-numeric: tabular-nums; }
th, td {
  padding: 0.4rem 1rem 0.4rem 0; text-align: left; vertical-align: baseline; white-space: nowrap;
  border-bottom: 1px solid var(--grid);
}
thead th {
  color: var(--muted); font-weight: 500; font-size: 0.86rem; vertical-align: bottom; border-color: var(--muted);
}
tbody th { font-weight: 400; }
table.results.few { width: auto; min-width: min(100%, 40rem); }
table.dense { font-size: 0.86rem; } table.dense th, table.dense td { padding-right: 0.75rem; }
table.results, table.numbers { width: 100%; }
table.results td, table.numbers td, table.results thead th + th, table.numbers thead th + th { text-align: right; }
table.results td.word, table.numbers td.word, table.results thead th.word, table.numbers thead th.word {
  text-align: left;
}
td:not(.word) + td.word, th:not(.word, :first-child) + th.word { padding-left: 0.9rem; }
table.results tr > :last-child, table.numbers tr > :last-child { padding-right: 0.2rem; }
.scroll tr > :first-child:not([colspan]) {
  position: sticky; left: 0; z-index: 1; background: var(--row, var(--surface)); padding-right: 1rem;
}
.scroll tbody tr:hover { --row: color-mix(in srgb, var(--accent) 7%, var(--surface)); background: var(--row); }
.scroll tbody tr.cell:hover { background: none; }
tr.cell th { padding-top: 1.1rem; font-weight: 600; border-bottom: 1px solid var(--muted); }
td.headline { font-weight: 700; }
.std { color: var(--muted); font-weight: 400; }
.below { display: block; color: var(--muted); font-size: 0.84rem; line-height: 1.35; }
.narrow { display: none; }
.long { white-space: normal; }
th.long { min-width: 5.5rem; } tbody th.long { min-width: 13rem; } td.long { min-width: 9rem; }
.below.long { min-width: 10rem; }
table.sortable thead th button {
  all: unset; cursor: pointer; display: inline-block; position: relative; padding-right: 1.05em; border-radius: 3px;
}
table.sortable thead th button::after { position: absolute; right: 0.1em; bottom: 0; content: "\\2195"; opacity: 0.5; }
table.sortable thead th button:hover, table.sortable thead th:not([aria-sort="none"]) button { color: var(--ink); }
table.sortable thead th[aria-sort="ascending"] button, table.sortable thead th[aria-sort="descending"] button {
  font-weight: 650;
}
table.sortable thead th[aria-sort="ascending"] button::after { content: "\\2191"; opacity: 1; }
table.sortable thead th[aria-sort="descending"] button::after { content: "\\2193"; opacity: 1; }
:focus-visible, table.sortable thead th button:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px;
}
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; }
code { font-size: 0.92em; overflow-wrap: anywhere; }
table.fields { width: 100%; max-width: 56rem; }
table.fields td, table.fields th { white-space: normal; vertical-align: top; overflow-wrap: anywhere; }
table.fields th { color: var(--muted); width: 1%; white-space: nowrap; padding-right: 2rem; }

.swatch { display: inline-block; width: 0.75em; height: 0.75em; margin-right: 0.5em; background: currentColor; }
.swatch.a-ssl { color: var(--a-ssl); clip-path: circle(50%); }
.swatch.h-ssl { color: var(--h-ssl); clip-path: inset(6%); }
.swatch.hybrid { color: var(--hybrid); clip-path: polygon(50% 0, 100% 100%, 0 100%); }
.swatch.frozen { color: var(--frozen); clip-path: polygon(0 0, 100% 0, 50% 100%); }
.swatch.supervised {
  color: var(--supervised);
  clip-path: polygon(
    33% 0, 67% 0, 67% 33%, 100% 33%, 100% 67%, 67% 67%, 67% 100%, 33% 100%, 33% 67%, 0 67%, 0 33%, 33% 33%
  );
}
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.3rem; font-size: 0.9rem; margin: 0.5rem 0 0.9rem; }
.diamond { color: var(--paper); margin-right: 0.35em; }
.plots {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem;
  align-items: start; margin: 1rem 0;
}
figure {
  --surface: var(--card); margin: 0; padding: 0.9rem 1rem 0.7rem; background: var(--card);
  border: 1px solid var(--grid); border-radius: 10px;
}
figure h3 { font-size: 0.95rem; margin-bottom: 0.4rem; }
figure svg { display: block; width: 100%; height: auto; margin: 0 auto; }
figure svg text { font-family: inherit; fill: var(--ink); }
figcaption { color: var(--muted); font-size: 0.86rem; line-height: 1.45; margin-top: 0.3rem; }
details { margin: 0.7rem 0; }
summary { cursor: pointer; color: var(--accent); width: fit-content; padding: 0.15rem 0; }
footer {
  margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--grid); color: var(--muted); font-size: 0.86rem;
}

@media (max-width: 40rem) {
  body { padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.5rem; } h2 { font-size: 1.22rem; margin-top: 2.5rem; } .lead { font-size: 1.05rem; }
  .note { padding: 0.8rem 0.9rem; } ul { padding-left: 1.1rem; }
  table { font-size: 0.88rem; } th, td { padding-right: 0.9rem; }
  /* The first column stays in sight and leaves most of the width to what is scrolled under it. */
  .scroll tr > :first-child:not([colspan]) { white-space: normal; min-width: 9.25rem; max-width: 45vw; }
  .wide { display: none; } .narrow { display: block; }
  thead th.long { min-width: 6.5rem; }
  .rest { display: block; color: var(--muted); font-size: 0.84rem; line-height: 1.35; }
  table.results .std { display: block; font-size: 0.8rem; line-height: 1.2; }
  figure { padding: 0.75rem 0.7rem 0.5rem; }
  table.fields th { white-space: normal; width: 40%; padding-right: 0.9rem; }
  summary, table.sortable thead th button { padding-top: 0.45rem; padding-bottom: 0.45rem; }
  table.sortable thead th button::after { bottom: 0.45rem; }
}
@media print {
  @page { margin: 14mm 12mm; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  html { font-size: 10pt; }
  body { font-size: 1rem; line-height: 1.45; padding: 0; max-width: none; }
  h1 { font-size: 1.8rem; } h2 { margin-top: 2rem; } h3 { margin-top: 1.3rem; }
  h1, h2, h3, h4, summary, h2 + p, h3 + p, .legend { break-after: avoid; }
  figure, tr, .note { break-inside: avoid; }
  p, li { orphans: 3; widows: 3; }
  p, ul, .note { max-width: none; }
  /* What is folded on a screen is read on paper. */
  details::details-content { content-visibility: visible; display: block; block-size: auto; opacity: 1; }
  summary { list-style: none; color: var(--ink); font-weight: 600; } summary::-webkit-details-marker { display: none; }
  .plots { grid-template-columns: 1fr 1fr; gap: 0.6rem; }
  .scroll { overflow: visible; background: none; }
  .scroll tr > :first-child:not([colspan]) { position: static; }
  table { font-size: 0.8rem; } thead th { font-size: 0.76rem; } th, td { padding: 0.2rem 0.6rem 0.2rem 0; }
  .below, .std { font-size: 0.85em; }
  thead th, tbody th, td.word { white-space: normal; } th:has(.swatch), td:has(.swatch) { white-space: nowrap; }
  tbody th.long { min-width: 6rem; } td.long, .below.long { min-width: 7rem; } th.long { min-width: 4rem; }
  table.dense { font-size: 0.74rem; } table.dense td.long { min-width: 4.4rem; }
  table.dense th, table.dense td { padding-right: 0.3rem; }
  /* A button is not painted again where a heading is repeated on the next sheet; its text alone is. */
  table.sortable thead th button { display: contents; } table.sortable thead th button::after { content: none; }
  .contents { display: none; }
}
"""
)
