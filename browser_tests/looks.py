"""Faults that a reader would see, found in the open page: pale text, parts beside the screen, words in a tower."""

from __future__ import annotations

from chromium import Browser

# Colours of any notation become numbers by being drawn.
_COLOURS = """
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255);
};
const luminance = (colour) => {
  const [r, g, b] = colour.map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const surface = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
  let seen = [1, 1, 1];
  for (const [r, g, b, a] of layers.reverse()) seen = seen.map((part, n) => a * [r, g, b][n] + (1 - a) * part);
  return seen;
};
const texts = () => {
  const found = new Set(), walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() && !['SCRIPT', 'STYLE'].includes(element.tagName) && element.checkVisibility())
      found.add(element);
  }
  return [...found];
};
"""
_CONTRASTS = (
    _COLOURS
    + """
return texts().map((element) => {
  const style = getComputedStyle(element);
  const ink = rgba(element.closest('svg') ? style.fill : style.color).slice(0, 3);
  const [low, high] = [luminance(ink), luminance(surface(element))].sort((a, b) => a - b);
  return [(high + 0.05) / (low + 0.05), element.tagName.toLowerCase(), element.textContent.trim().slice(0, 40)];
});
"""
)
_BRIGHTNESS = _COLOURS + "return luminance(surface(document.body));"
_BESIDE = """
const wide = document.documentElement.clientWidth, found = [];
for (const element of document.body.querySelectorAll('*')) {
  if (element.parentElement.closest('.scroll, svg') || !element.checkVisibility()) continue;
  const box = element.getBoundingClientRect();
  if (box.width && (box.right > wide + 0.5 || box.left < -0.5))
    found.push(`${element.tagName.toLowerCase()} ${element.className}: ${box.left} to ${box.right} of ${wide}`);
}
if (document.documentElement.scrollWidth > wide) found.push(`the page: ${document.documentElement.scrollWidth}`);
return found;
"""
_TOWERS = """
const found = [];
for (const element of document.body.querySelectorAll('p, li, th, td, h1, h2, h3, h4, summary, figcaption, .below')) {
  if (!element.checkVisibility()) continue;
  const words = element.innerText.trim().split(/\\s+/), range = document.createRange(), places = new Set();
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    range.selectNodeContents(walker.currentNode);
    for (const box of range.getClientRects()) if (box.width) places.add(Math.round(box.bottom / 4));
  }
  const lines = places.size;
  if (words.length > 3 && lines > 0.75 * words.length) found.push(`${words.join(' ').slice(0, 60)}: ${lines} lines`);
}
return found;
"""
_CROOKED = """
const found = [];
const edge = (cell) => { const { textAlign, paddingLeft, paddingRight } = getComputedStyle(cell);
  return `${textAlign.replace('start', 'left')} ${textAlign === 'right' ? paddingRight : paddingLeft}`; };
for (const table of document.querySelectorAll('table')) {
  if (!table.tHead) continue;
  const heads = [...table.tHead.rows[0].cells];
  const row = [...table.querySelectorAll('tbody tr')].find((row) => row.cells.length === heads.length);
  heads.forEach((head, column) => {
    if (head.checkVisibility() && edge(head) !== edge(row.cells[column]))
      found.push(`${table.id || table.className}, ${head.innerText}: ${edge(head)} over ${edge(row.cells[column])}`);
  });
}
return found;
"""
_STICKING = """
const report = [];
for (const box of document.querySelectorAll('.scroll')) {
  if (box.scrollWidth <= box.clientWidth || !box.checkVisibility()) continue;
  box.scrollLeft = box.scrollWidth;
  const left = box.getBoundingClientRect().left;
  const firsts = [...box.querySelectorAll('tr')].map((row) => row.cells[0]).filter((cell) => cell.colSpan === 1);
  const gone = firsts.filter((cell) => Math.abs(cell.getBoundingClientRect().left - left) > 1);
  const widest = Math.max(...firsts.map((cell) => cell.getBoundingClientRect().width));
  report.push([box.scrollLeft, firsts.length, gone.length, widest / box.clientWidth]);
}
return report;
"""


def pale(browser: Browser, least: float = 4.5) -> list[str]:
    """Visible text, also in plots, whose contrast with what is behind it is below `least` (WCAG 2.2, 1.4.3)."""
    found = browser.run(_CONTRASTS)
    assert len(found) > 20, "there is no text to judge"
    return sorted({f"{ratio:.2f} {tag}: {text}" for ratio, tag, text in found if ratio < least})


def brightness(browser: Browser) -> float:
    """Relative luminance of the page's background."""
    return float(browser.run(_BRIGHTNESS))


def beside(browser: Browser) -> list[str]:
    """What reaches over the sides of the screen outside of boxes that scroll."""
    return [str(fault) for fault in browser.run(_BESIDE)]


def towers(browser: Browser) -> list[str]:
    """Texts of more than three words that are set in nearly as many lines as they have words."""
    return [str(fault) for fault in browser.run(_TOWERS)]


def crooked(browser: Browser) -> list[str]:
    """Headings that do not stand at the edge that their column stands at."""
    return [str(fault) for fault in browser.run(_CROOKED)]


def sticking(browser: Browser) -> list[tuple[float, int, int, float]]:
    """Each table that scrolls, scrolled to its end: how far, first cells, those of them out of place, their share."""
    return [tuple(found) for found in browser.run(_STICKING)]
