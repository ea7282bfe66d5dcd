"""Errors inside plug-ins of other packages, as one sentence that names the plug-in and its method."""

from __future__ import annotations

from traceback import walk_tb
from types import FrameType

from .registry import KINDS, Plugin, plugins
from .utils.errors import PluginError, causes, in_one_line


def plugin_fault(error: BaseException) -> PluginError | None:
    """Return the sentence for an error that came through the code of another package's plug-in, or None."""
    others = foreign_plugins()
    packages = {plugin.package for plugin in others}
    for each in reversed(list(causes(error))):
        frames = [frame for frame, _ in walk_tb(each.__traceback__) if _top(frame) in packages]
        if frames:
            return PluginError(_sentence(others, frames, each))
    return None


def foreign_plugins() -> list[Plugin]:
    """Return all plug-ins of other packages."""
    return [plugin for kind in KINDS for plugin in plugins(kind).values() if not plugin.is_own]


def used_plugins() -> list[Plugin]:
    """Return those plug-ins of other packages that this process uses."""
    return [plugin for plugin in foreign_plugins() if plugin.is_used]


def suite_of(plugin: Plugin) -> str:
    """Return the call that says what a plug-in must do, and does not."""
    return f"bioautoml_nni.testing.check({plugin.kind!r}, {plugin.name!r})"


def _sentence(others: list[Plugin], frames: list[FrameType], error: BaseException) -> str:
    plugin, method = _found(others, frames)
    return (
        f"{plugin.told}: {method} raised {type(error).__name__}: {in_one_line(error)}; correct it, or leave it out of "
        f"the experiment. {suite_of(plugin)} says what it must do, and --debug shows the traceback."
    )


def _found(others: list[Plugin], frames: list[FrameType]) -> tuple[Plugin, str]:
    """Return the plug-in whose class has the innermost method, else one of its module or package, and the method."""
    for frame in reversed(frames):
        owner = type(frame.f_locals["self"]) if "self" in frame.f_locals else frame.f_locals.get("cls")
        for plugin in others:
            if plugin.is_used and isinstance(owner, type) and plugin.loaded in owner.__mro__:
                return plugin, f"{frame.f_code.co_name}()"
    last = frames[-1]
    module = last.f_globals.get("__name__")
    ranked = sorted(others, key=lambda own: (own.entry_point.module != module, own.package != _top(last)))
    return ranked[0], f"{last.f_code.co_qualname}()"


def _top(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
