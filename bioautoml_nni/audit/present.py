"""The audit on a terminal."""

from __future__ import annotations

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from ..artifacts.audit import AuditRecord, ImagesRecord, RemarkRecord

COLOURS = {"refused": "red", "warnings": "yellow", "clean": "green", "warning": "yellow", "note": "dim"}
WORDS = {
    "refused": "REFUSED: a result from this data could not be trusted, or cannot be had.",
    "warnings": "USABLE, WITH WARNINGS: read them before you believe a score.",
    "clean": "CLEAN: nothing was found that stands against a result from this data.",
}
MAX_CLASSES = 30


def present(audit: AuditRecord, console: Console) -> None:
    """Print an audit as `Examination.audit` gives it."""
    title, classes = _classes(audit)
    console.print(title)
    console.print(classes)
    console.print(_columns(audit))
    if audit.images is not None:
        console.print(_images(audit.images, audit.unreadable_images))
    remarks = [remark for remark in audit.remarks if remark.level != "note"]
    lines = [
        f"[{COLOURS[remark.level]}]{remark.level}[/] [bold]{remark.topic}[/]: {escape(remark.text)}"
        for level in ("refused", "warning")
        for remark in remarks
        if remark.level == level
    ]
    verdict = audit.verdict
    console.print(
        Panel(Group(WORDS[verdict], *lines), border_style=COLOURS[verdict], title="verdict", title_align="left"),
        highlight=False,
    )
    _present_lines(remarks, console)
    for remark in audit.remarks:
        if remark.level == "note" and remark.topic != "columns":
            console.print(f"[dim]note: {escape(remark.text)}[/]", highlight=False, soft_wrap=True)


def _present_lines(remarks: list[RemarkRecord], console: Console) -> None:
    """Print what experiment.yml would say, one unbroken line each, to be copied."""
    lines = {remark.line: remark.sure for remark in remarks if remark.line is not None}
    if not lines:
        return
    console.print("[bold]lines of experiment.yml that answer them[/] (* written by `bioautoml check --fix`)")
    for line, sure in lines.items():
        console.print(f"{'*' if sure else ' '} {escape(line)}", highlight=False, soft_wrap=True)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    return table


def _classes(audit: AuditRecord) -> tuple[str, Table]:
    sizes = audit.split_sizes
    tail = audit.tail
    title = (
        f"[bold]{_counted(audit.specimens, 'specimen')}, {len(audit.class_counts)} classes by {escape(audit.rank)}[/]: "
        f"{len(tail.head)} with more than 100 training images, {len(tail.medium)} with 20 to 100, "
        f"{len(tail.tail)} with fewer"
    )
    table = _table("", "class", "training", "validation", "test")
    counts = sorted(audit.class_counts.items(), key=lambda entry: -entry[1]["weights_train"] - entry[1]["alpha_train"])

    def row(name: str, parts: dict[str, int]) -> list[str]:
        training = parts["weights_train"] + parts["alpha_train"]
        return [
            name,
            *(f"{count:,}" if count else "[red]0[/]" for count in (training, parts["validation"], parts["test"])),
        ]

    shown = counts if len(counts) <= MAX_CLASSES else [*counts[: MAX_CLASSES // 2], *counts[-MAX_CLASSES // 2 :]]
    for number, (name, parts) in enumerate(shown):
        if len(shown) < len(counts) and number == MAX_CLASSES // 2:
            table.add_row(f"... {len(counts) - len(shown)} more", "", "", "")
        table.add_row(*row(escape(name), parts))
    table.add_row(*row("[bold]all[/]", sizes))
    return title, table


def _columns(audit: AuditRecord) -> Table:
    table = Table(
        title="columns", title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim"
    )
    table.add_column("verdict")
    table.add_column("columns", overflow="fold", ratio=2)
    table.add_column("because", overflow="fold", ratio=3)
    colours = {"refuse": "red", "drop": "yellow", "warn": "yellow", "pass": "green"}
    grouped: dict[tuple[str, str], list[str]] = {}
    for finding in audit.columns:
        name = escape(finding.column)
        role = finding.role
        shown = f"{name} [dim]({role})[/]" if role not in ("ignored", "taxonomy") else name
        grouped.setdefault((finding.verdict, finding.reason), []).append(shown)
    order = ("refuse", "drop", "warn", "pass")
    for (verdict, reason), names in sorted(grouped.items(), key=lambda entry: order.index(entry[0][0])):
        because = escape(reason) or "nothing speaks against it"
        table.add_row(f"[{colours[verdict]}]{verdict}[/]", ", ".join(names), because)
    return table


def _images(images: ImagesRecord, unreadable: int) -> Table:
    table = _table("images", "", "")
    table.show_header = False
    table.add_row("readable", f"{images.checked:,}")
    table.add_row("unreadable", f"{unreadable:,}")
    if (side := images.longest_side) is not None:
        table.add_row("longest side (least, median, most)", f"{side.least}, {side.median}, {side.most} px")
    for kind, found in (("exact duplicates", images.exact_duplicates), ("near duplicates", images.near_duplicates)):
        if found is not None:
            across = f"{found.pairs_across_train_and_test:,} across training and test"
            table.add_row(kind, f"{_counted(found.pairs, 'pair')}, {across}" if found.pairs else "none")
    return table
