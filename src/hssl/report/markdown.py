"""A document as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from hssl.report.document import Document, Number, Section, Table


def markdown(document: Document) -> str:
    """All that the page holds, but for its plots."""
    sections = [to_markdown(section) for section in document.sections if not _only_plots(section)]
    return "\n\n".join([f"# {document.title}", document.lead, *sections]) + "\n"


def to_markdown(section: Section, level: int = 2) -> str:
    """The section under a heading of this level, and its parts one level below."""
    parts = [*section.text]
    if section.points:
        parts.append("\n".join(f"- {text}" for text in section.points))
    for table in section.tables:
        if table.only != "page":
            said = [markdown_table(table), *([table.caption] if table.caption else [])]
            parts += [f"<details><summary>{table.folded}</summary>", *said, "</details>"] if table.folded else said
    if section.logs:
        firsts = {name: next(iter(text.splitlines()), "no message") for name, text in section.logs.items()}
        parts.append("\n".join(f"- {name}: {first}" for name, first in firsts.items()))
    parts += [to_markdown(part, level + 1) for part in section.parts]
    return "\n\n".join([f"{'#' * level} {section.title}", *parts])


def _only_plots(section: Section) -> bool:
    return bool(section.plots) and not (section.points or section.tables or section.parts or section.logs)


def markdown_table(table: Table) -> str:
    """The table alone, numbers to the right."""
    columns = [[line[number] for line in table.lines] for number in range(len(table.headings))]
    rules = ["---:" if any(isinstance(cell, Number) for cell in column) else "---" for column in columns]
    lines = [table.headings, rules, *([_text(cell) for cell in line] for line in table.lines)]
    return "\n".join(_line(line) for line in lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


def _text(cell: str | Number) -> str:
    if isinstance(cell, str):
        return cell
    detail = f" ({cell.detail})" if cell.detail else ""
    return cell.text + detail + "".join(f"; {text}" for text in cell.below)
