"""Hot reload: the flow file and everything it uses, watched; an edit checked, planned and applied, or refused with its problems."""

from flowrt.watch.reloader import Reload, Reloader
from flowrt.watch.watcher import Watcher, WatchMode

__all__ = ["Reload", "Reloader", "WatchMode", "Watcher"]
