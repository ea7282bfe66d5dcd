"""`bioautoml media`: the images that an archive lists by URL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .shared import START, app, console

if TYPE_CHECKING:
    from ..media.download import Outcome

SHOWN = 5


@app.command(rich_help_panel=START)
def media(
    archive: Annotated[
        Path, typer.Argument(help="A Darwin Core archive, or an export of GBIF or iNaturalist.", metavar="ARCHIVE")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the images.")],
    host: Annotated[
        list[str] | None,
        typer.Option(help="Host that may be asked, also by a redirection; *.example.org for many; may be repeated."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="All hosts that the archive names may be asked.")] = False,
    file_megabytes: Annotated[float, typer.Option(min=0.001, help="Most of one image.")] = 50,
    total_gigabytes: Annotated[float, typer.Option(min=0.000001, help="Most of the whole folder.")] = 100,
    per_second: Annotated[float, typer.Option(min=0.001, max=100, help="Most requests a second to one host.")] = 4,
    connections: Annotated[int, typer.Option(min=1, max=32, help="Most images at once from one host.")] = 4,
    attempts: Annotated[int, typer.Option(min=1, max=20, help="How often an image is tried.")] = 5,
    contact: Annotated[str, typer.Option(help="E-mail or page where hosts can reach you; sent with requests.")] = "",
    allow_private_addresses: Annotated[
        bool, typer.Option("--allow-private-addresses", help="Connect to addresses that are not public, too.")
    ] = False,
) -> None:
    """Download the images that an archive lists, with a table of their licences; given again it goes on.

    Exit code 0: every image is there, 1: some are not; media.csv in the folder says why. Hosts are asked at their pace
    and as their robots.txt allows, and only those that you confirm.

    Example: bioautoml media moths/archive.zip --output moths/media --host inaturalist-open-data.s3.amazonaws.com
    """
    from .._version import __version__
    from ..media._base import Limits
    from ..media.download import download
    from ..media.listing import confirmed_hosts, hosts_of, list_wanted
    from ..utils.places import require_folder
    from ..utils.progress import make_progress

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
    with make_progress(console) as progress:
        task = progress.add_task("media", total=counts.total(), note="")
        came = 0

        def tell(size: int) -> None:
            nonlocal came
            came += size
            progress.update(task, advance=1, note=f"{came / 1e6:,.1f} MB")

        outcome = download(wanted, hosts, output, limits, tell)
    _say(archive, output, outcome)
    raise typer.Exit(int(bool(outcome.errors)))


def _say(archive: Path, output: Path, outcome: Outcome) -> None:
    parts = [f"{outcome.fetched} images downloaded", f"{outcome.there} there before"]
    parts += [f"{len(outcome.errors)} not downloaded"] if outcome.errors else []
    console.print(f"{', '.join(parts)}. Wrote {outcome.table}.", highlight=False, soft_wrap=True)
    for url, reason in list(outcome.errors.items())[:SHOWN]:
        console.print(f"[yellow]{escape(url)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
    if len(outcome.errors) > SHOWN:
        console.print(f"All reasons: column error of {outcome.table}.", highlight=False, soft_wrap=True)
    console.print(
        f"In experiment.yml: source: darwin_core, archive: {archive.name}, media: {output.name}, media_table: "
        f"{output.name}/{outcome.table.name} (below data.root); or: bioautoml init {archive}",
        highlight=False,
        soft_wrap=True,
    )
