"""Options of the commands that take many, each with its help; a command's signature names them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .shared import given_place

# What to learn from, and what the model has to fit.
Data = Annotated[
    Path,
    typer.Argument(
        help="A table, a folder, an archive, or an experiment.yml; data also as a URL.",
        metavar="TABLE_OR_FOLDER",
        parser=given_place,
    ),
]
ImagePaths = Annotated[str | None, typer.Option("--image", help="Column of image paths.", show_default="guessed")]
Label = Annotated[str | None, typer.Option("--label", help="Column to learn.", show_default="guessed")]
Group = Annotated[
    str | None, typer.Option("--group", help="Column whose equal rows stay together, or none.", show_default="guessed")
]
Rank = Annotated[str | None, typer.Option("--rank", help="Rank or column to learn, of an archive.")]
Target = Annotated[
    str | None, typer.Option("--target", help="Where the model will run: trap, pi or station.", show_default="station")
]
MaxParameters = Annotated[int | None, typer.Option(min=1, help="Largest number of parameters.")]
MaxMflops = Annotated[float | None, typer.Option(help="Largest arithmetic for one specimen.")]
MaxLatency = Annotated[
    float | None, typer.Option(help="Largest time for one specimen, by onnxruntime on one thread here.")
]
Minutes = Annotated[
    float | None, typer.Option("--minutes", help="Time for everything.", show_default="what the plan says")
]
Folder = Annotated[Path | None, typer.Option("--output", "-o", help="Folder for results.", show_default="runs/NAME")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of split and training.", show_default="0")]

# Which images of an archive to download, from whom, and how politely.
Archive = Annotated[
    Path, typer.Argument(help="A Darwin Core archive, or an export of GBIF or iNaturalist.", metavar="ARCHIVE")
]
ImageFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the images.")]
Hosts = Annotated[
    list[str] | None,
    typer.Option(help="Host to download from, redirections included; *.example.org for many; may be repeated."),
]
AllHosts = Annotated[bool, typer.Option("--yes", "-y", help="Download from every host that the archive names.")]
FileMegabytes = Annotated[float, typer.Option(min=0.001, help="Largest size of one image.")]
TotalGigabytes = Annotated[float, typer.Option(min=0.000001, help="Largest size of the whole folder.")]
PerSecond = Annotated[float, typer.Option(min=0.001, max=100, help="Requests per second to one host, at most.")]
Connections = Annotated[int, typer.Option(min=1, max=32, help="Images from one host at a time, at most.")]
Attempts = Annotated[int, typer.Option(min=1, max=20, help="How often to try an image.")]
Contact = Annotated[str, typer.Option(help="E-mail or page where hosts can reach you; sent with requests.")]
PrivateAddresses = Annotated[
    bool, typer.Option("--allow-private-addresses", help="Also connect to addresses that are not public.")
]

# On which machines NNI runs trials.
Machines = Annotated[
    list[str] | None,
    typer.Option("--machine", help="Run trials on USER@HOST[:PORT] by SSH; repeat it for several.", metavar="HOST"),
]
SshKey = Annotated[str, typer.Option("--ssh-key", help="File of the private key.")]
RemotePython = Annotated[
    str | None, typer.Option("--remote-python", help="Folder of the machines' python that has this package.")
]

# On which machines Ray makes the shards of a piece of work.
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="local|ADDRESS",
        help="Let Ray make the shards: on the cores of this machine, or on the cluster at ADDRESS.",
    ),
]
Shards = Annotated[
    int | None,
    typer.Option("--shards", min=1, help="Number of shards of --cluster.", show_default="one for each CPU"),
]

# What to name, by which rules, and how the answers are written.
ExportPath = Annotated[Path, typer.Argument(help="An export, or a run that has one.", metavar="MODEL")]
Specimens = Annotated[
    Path,
    typer.Argument(
        help="A table, an image, or a folder of images; or its URL.", metavar="TABLE_OR_FOLDER", parser=given_place
    ),
]
Answers = Annotated[Path, typer.Option("--output", "-o", help="File: .csv or .parquet.")]
ImageColumn = Annotated[str | None, typer.Option(help="Column with image paths.", show_default="as in training")]
ImageRoot = Annotated[
    Path | None,
    typer.Option(
        help="Folder or URL below which images lie.", show_default="the table's", metavar="PATH", parser=given_place
    ),
]
Threshold = Annotated[float, typer.Option(min=0, max=1, help="Below this confidence: a coarser taxon, or no answer.")]
Coverage = Annotated[float | None, typer.Option(help="Add sets that hold the truth with this probability.")]
SpeciesList = Annotated[Path | None, typer.Option(help="File with the names that can occur, one per line.")]
ByGroup = Annotated[str | None, typer.Option(help="Column: write a second table, with one answer per value.")]
Logits = Annotated[bool, typer.Option("--logits", help="Add the logits of all classes.")]
Embeddings = Annotated[
    bool, typer.Option("--embeddings", help="Add the image encoder's embedding: a list in Parquet, columns in CSV.")
]
SortInto = Annotated[Path | None, typer.Option(help="Copy images into folders by answer.")]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Read images through links that lead out of their folder.")
]
Link = Annotated[bool, typer.Option("--link", help="Link instead of copying.")]
EightBits = Annotated[bool, typer.Option("--int8", help="Use the 8-bit model.")]
ShardOf = Annotated[
    str | None,
    typer.Option("--shard", help="Do only this share, such as 2/8, on one of several machines; all see --output."),
]
Merge = Annotated[bool, typer.Option("--merge", help="Put the finished shards together.")]
Missing = Annotated[
    list[str] | None, typer.Option(help="Text that stands for a missing value, such as NA; may be repeated.")
]
Sheet = Annotated[str | None, typer.Option(help="Sheet, or table of a database.", show_default="the first")]
HeaderRow = Annotated[int | None, typer.Option(min=1, help="Row with the names of the columns.", show_default="found")]
Encoding = Annotated[str | None, typer.Option(help="Encoding of a text file.", show_default="found")]
