"""`bioautoml media`: the images that an archive lists by URL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from .options import (
    AllHosts,
    Archive,
    Attempts,
    Connections,
    Contact,
    FileMegabytes,
    Hosts,
    ImageFolder,
    PerSecond,
    PrivateAddresses,
    TotalGigabytes,
)
from .shared import START, app, console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..media._base import Limits, Wanted
    from ..media.download import Outcome

SHOWN = 5


@app.command(rich_help_panel=START)
def media(
    archive: Archive,
    output: ImageFolder,
    host: Hosts = None,
    yes: AllHosts = False,
    file_megabytes: FileMegabytes = 50,
    total_gigabytes: TotalGigabytes = 100,
    per_second: PerSecond = 4,
    connections: Connections = 4,
    attempts: Attempts = 5,
    contact: Contact = "",
    allow_private_addresses: PrivateAddresses = False,
) -> None:
    """Download the images that an archive lists, and a table of their licences; repeat it to continue.

    Exit code 0: every image is there, 1: some are not; media.csv in the folder says why. Hosts are asked at their pace
    and as their robots.txt allows, and only those that you confirm.

    Example: bioautoml media moths/archive.zip --output moths/media --host inaturalist-open-data.s3.amazonaws.com
    """
    from .._version import __version__
    from ..media._base import Limits
    from ..media.listing import confirmed_hosts, hosts_of, list_wanted
    from ..utils.places import require_folder

    notes: list[str] = []
    wanted = list_wanted(archive, notes)
    counts = hosts_of(wanted)
    for note in notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    ask = (lambda question: typer.confirm(question, default=True)) if sys.stdin.isatty() else None
    hosts = confirmed_hosts(archive, counts, host or [], yes, ask)
    require_folder(output)
    agent = f"bioautoml-nni/{__version__}" + (f" ({contact})" if contact else "")
    limits = Limits(
        int(1e6 * file_megabytes), int(1e9 * total_gigabytes), per_second, connections, attempts,
        private_addresses=allow_private_addresses, agent=agent,
    )  # fmt: skip
    outcome = _downloaded(wanted, hosts, output, limits, counts.total())
    _say(archive, output, outcome)
    raise typer.Exit(int(bool(outcome.errors)))


def _downloaded(wanted: Sequence[Wanted], hosts: Sequence[str], output: Path, limits: Limits, total: int) -> Outcome:
    """Download images and show how many came, and how much."""
    from ..media.download import download
    from ..utils.progress import make_progress

    with make_progress(console) as progress:
        task = progress.add_task("media", total=total, note="")
        came = 0

        def tell(size: int) -> None:
            nonlocal came
            came += size
            progress.update(task, advance=1, note=f"{came / 1e6:,.1f} MB")

        return download(wanted, hosts, output, limits, tell)


def _say(archive: Path, output: Path, outcome: Outcome) -> None:
    parts = [f"{outcome.fetched} images downloaded", f"{outcome.there} there before"]
    parts += [f"{len(outcome.errors)} not downloaded"] if outcome.errors else []
    console.print(f"{', '.join(parts)}. Wrote {escape(str(outcome.table))}.", highlight=False, soft_wrap=True)
    for url, reason in list(outcome.errors.items())[:SHOWN]:
        console.print(f"[yellow]{escape(url)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
    if len(outcome.errors) > SHOWN:
        console.print(f"All reasons: column error of {escape(str(outcome.table))}.", highlight=False, soft_wrap=True)
    console.print(
        f"In experiment.yml: source: darwin_core, archive: {escape(archive.name)}, media: {escape(output.name)}, "
        f"media_table: {escape(output.name)}/{outcome.table.name} (below data.root); or: bioautoml init "
        f"{escape(str(archive))}",
        highlight=False,
        soft_wrap=True,
    )
