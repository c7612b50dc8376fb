"""The report of a reproduction as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from hssl.report.blocks import Number, Section, Table
from hssl.report.contents import Report


def markdown(report: Report) -> str:
    """All that the page holds, but for its plots."""
    parts = [f"# {report.title}", report.lead]
    parts += [to_markdown(section) for section in report.sections if not _only_plots(section)]
    if report.failures:
        told = [f"- {name}: {(text.splitlines() or ['no message'])[0]}" for name, text in report.failures.items()]
        parts += ["## Failed", "\n".join(told)]
    return "\n\n".join(parts) + "\n"


def to_markdown(section: Section, level: int = 2) -> str:
    """The section under a heading of this level, and its parts one level below."""
    parts = [*section.text]
    if section.points:
        parts.append("\n".join(f"- {text}" for text in section.points))
    for table in section.tables:
        if table.only != "page":
            said = [markdown_table(table), *([table.caption] if table.caption else [])]
            parts += [f"<details><summary>{table.folded}</summary>", *said, "</details>"] if table.folded else said
    parts += [to_markdown(part, level + 1) for part in section.parts]
    return "\n\n".join([f"{'#' * level} {section.title}", *parts])


def _only_plots(section: Section) -> bool:
    return bool(section.plots) and not (section.points or section.tables or section.parts)


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
