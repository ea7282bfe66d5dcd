"""Times in words: how long so far, and how long still."""

from __future__ import annotations

from rich.progress import Progress

from bioautoml_nni.utils.progress import PACE_SECONDS, TimesInWords


def test_the_rest_is_said_once_there_is_a_pace():
    now = [0.0]
    progress = Progress(TimesInWords(), get_time=lambda: now[0], disable=True, speed_estimate_period=PACE_SECONDS)
    progress.add_task("search", total=4)
    task = progress.tasks[0]
    now[0] = 60
    assert TimesInWords().render(task).plain == "1 min 0 s so far"
    progress.advance(task.id)
    now[0] = 120
    progress.advance(task.id)
    assert TimesInWords().render(task).plain == "2 min 0 s so far, about 2 min 0 s left"
    now[0] = 200
    progress.update(task.id, completed=4)
    assert TimesInWords().render(task).plain == "3 min 20 s so far"
