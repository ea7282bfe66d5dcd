"""The progress display of everything that takes long."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

PACE_SECONDS = 300
"""What the pace is estimated from: rich's own 30 seconds hold no two batches of a large network."""


class TimesInWords(ProgressColumn):
    """How long it took so far, and how long the rest will take at this pace."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return both times; the rest only once there is a pace."""
        passed = f"{duration((task.finished_time if task.finished else task.elapsed) or 0)} so far"
        if task.finished or task.time_remaining is None:
            return Text(passed)
        return Text(f"{passed}, about {duration(task.time_remaining)} left")


def make_progress(console: Console) -> Progress:
    """Return the progress display used by every stage."""
    return Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimesInWords(),
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=PACE_SECONDS,
    )


def duration(seconds: float) -> str:
    """Return seconds in words: 40 s, 3 min 20 s, 5 h 10 min.

    Example:
        >>> duration(40), duration(200), duration(18600)
        ('40 s', '3 min 20 s', '5 h 10 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
