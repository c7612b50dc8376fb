"""How the report looks: one style sheet for light and dark, wide and narrow screens, and print."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1c1e21; --muted: #5d636b; --grid: #dfe1e4;
  --accent: #2563c9; --paper: #b3261e;
  --a-ssl: #2563c9; --h-ssl: #d4600a; --hybrid: #8a4fc7; --frozen: #747b84; --supervised: #178455; --note: #f3f1ea;
}
@media (prefers-color-scheme: dark) { :root {
  --page: #15171a; --card: #1c1f23; --ink: #e8eaed; --muted: #a3a9b1; --grid: #363b42;
  --accent: #7fb0ff; --paper: #ff8a80;
  --a-ssl: #6ea8ff; --h-ssl: #ffa04d; --hybrid: #c39bff; --frozen: #a6adb6; --supervised: #58cc96; --note: #24272b;
} }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 66rem; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; letter-spacing: -0.01em; }
h2 { font-size: 1.25rem; margin: 3rem 0 0.6rem; }
h3 { font-size: 0.95rem; margin: 0 0 0.3rem; font-weight: 600; }
p, ul { max-width: 46rem; margin: 0.5rem 0; }
li { margin: 0.25rem 0; }
.lead { font-size: 1.1rem; }
.caption { color: var(--muted); font-size: 0.9rem; }
.note { background: var(--note); border-radius: 10px; padding: 0.8rem 1.1rem; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; margin: 0.9rem 0; }
table { border-collapse: collapse; font-size: 0.93rem; font-variant-numeric: tabular-nums; }
th, td {
  padding: 0.32rem 0.9rem 0.32rem 0; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--grid);
}
thead th { color: var(--muted); font-weight: 500; font-size: 0.85rem; vertical-align: bottom; }
tbody th { font-weight: 400; }
table.results, table.numbers { width: 100%; }
table.results td, table.numbers td, table.results thead th + th, table.numbers thead th + th { text-align: right; }
table.results tr > :last-child, table.numbers tr > :last-child { padding-right: 0.2rem; }
tr.cell th { padding-top: 1.1rem; font-weight: 600; border-bottom: 1px solid var(--muted); }
td.headline { font-weight: 700; }
.std { color: var(--muted); font-weight: 400; }
.below { display: block; color: var(--muted); font-size: 0.82rem; line-height: 1.25; }
table.results td.word { text-align: left; }
table.sortable thead th button {
  all: unset; cursor: pointer; position: relative; text-align: inherit; padding-right: 1em; border-radius: 3px;
}
table.sortable thead th button::after { position: absolute; right: 0.1em; content: "\\2195"; opacity: 0.45; }
table.sortable thead th button:hover { color: var(--ink); }
table.sortable thead th[aria-sort="ascending"] button, table.sortable thead th[aria-sort="descending"] button {
  color: var(--ink); font-weight: 600;
}
table.sortable thead th[aria-sort="ascending"] button::after { content: "\\2191"; opacity: 1; }
table.sortable thead th[aria-sort="descending"] button::after { content: "\\2193"; opacity: 1; }
:focus-visible, table.sortable thead th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; }
table.fields td, table.fields th { white-space: normal; vertical-align: top; overflow-wrap: anywhere; }
table.fields th { color: var(--muted); min-width: 9rem; }
.swatch { display: inline-block; width: 0.7em; height: 0.7em; border-radius: 50%; margin-right: 0.5em; }
.swatch.a-ssl { background: var(--a-ssl); } .swatch.h-ssl { background: var(--h-ssl); }
.swatch.hybrid { background: var(--hybrid); } .swatch.frozen { background: var(--frozen); }
.swatch.supervised { background: var(--supervised); }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; font-size: 0.9rem; margin: 0.4rem 0 0.8rem; }
.diamond { color: var(--paper); margin-right: 0.35em; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
figure {
  margin: 0; padding: 0.9rem 1rem 0.6rem; background: var(--card); border: 1px solid var(--grid); border-radius: 10px;
}
figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: inherit; fill: var(--ink); }
figcaption { color: var(--muted); font-size: 0.85rem; margin-top: 0.2rem; }
details { margin: 0.6rem 0; } summary { cursor: pointer; color: var(--accent); }
footer { margin-top: 3rem; color: var(--muted); font-size: 0.85rem; }
@media (max-width: 34rem) {
  body { padding: 1.5rem 0.9rem 3rem; } h1 { font-size: 1.5rem; }
  table { font-size: 0.86rem; } th, td { padding-right: 0.6rem; }
  thead th { white-space: normal; }
  table.results .std { display: block; font-size: 0.78rem; line-height: 1.1; }
  figure { padding: 0.7rem 0.6rem 0.4rem; }
}
@media print {
  :root {
    color-scheme: light; --page: #ffffff; --card: #ffffff; --ink: #000000; --muted: #444444; --grid: #cccccc;
    --accent: #000000; --paper: #b3261e; --a-ssl: #2563c9; --h-ssl: #d4600a; --hybrid: #8a4fc7;
    --frozen: #747b84; --supervised: #178455; --note: #f4f4f4;
  }
  body { font-size: 10.5pt; padding: 0; max-width: none; }
  figure, tr, .note { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .plots { grid-template-columns: 1fr 1fr; } .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
