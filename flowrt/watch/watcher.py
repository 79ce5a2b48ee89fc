"""The watcher: notices edits of a flow's files, and has the reloader follow each once it is over.

Folders are watched, not inodes, so that editors that save by rename and symlink swaps (Kubernetes ConfigMaps) are seen. What
else happens in those folders (a journal, a log) neither starts a reload nor holds one up.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

from flowrt.catalog import Catalog, NodeTypeError
from flowrt.system.backoff import Backoff
from flowrt.watch.reloader import Reloader

WatchMode = Literal["auto", "poll", "off"]
QUIET_S = 0.02
"""An edit is over when nothing has happened to its files for so long."""

WRITTEN_S = 0.004
"""The same after a file was closed by its writer, or moved into its place: only further files may follow."""

EVENTS: list[type[FileSystemEvent]] = [
    FileModifiedEvent, FileClosedEvent, FileMovedEvent, FileCreatedEvent, FileDeletedEvent,
    DirMovedEvent, DirCreatedEvent, DirDeletedEvent,
]  # fmt: skip
"""Kinds of events asked of the system. None for files that are only read: a reload reads many."""

MAX_LINKS = 40
"""How many links on the way to a file are followed; Linux gives up there too."""

EMPTY_S = 0.3
"""How long an empty flow file is given to be filled, before it counts as an edit."""

BEAT_S = 2.0
"""How often the thread looks whether notices of edits still come."""

RELOAD_S = 300.0
"""No reload takes longer, whatever hangs in it: its steps have bounds of their own, less in sum."""

READY_AFTER_S = 3.0
"""When a flow has run for so long, what an edit may bring into it is imported: the first added rule need not wait for that."""


class Watcher(FileSystemEventHandler):
    """Watches the folders of a flow's files and reloads after each edit, once it is over.

    Its thread is started again after a fault, with a new observer; what was edited meanwhile is then followed.
    """

    def __init__(self, reloader: Reloader, mode: WatchMode = "auto", poll_s: float = 0.5) -> None:
        self._reloader = reloader
        self._new_observer = functools.partial(PollingObserver, timeout=poll_s) if mode == "poll" else Observer
        self._observer = self._new_observer()
        self._folders: dict[Path, Any] = {}
        self._watched: frozenset[str] = frozenset()
        self._wake = threading.Condition()
        self._since = 0.0  # when an edit began that was not looked at yet; 0 where there is none
        self._over = 0.0  # when that edit is taken to be over
        self._stopping = False
        self._thread = reloader.runtime.supervisor.thread(
            "watcher", self._run, restart=Backoff(0.1, 5.0), beat_within_s=RELOAD_S
        )
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        self._observe()
        self._observer.start()
        self._thread.start()
        threading.Thread(target=self._get_ready, name="get ready", daemon=True).start()

    def stop(self) -> None:
        """End; a reload under way is finished first."""
        self._stopped.set()
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._thread.stop()
        self._thread.join(10)
        self._observer.stop()
        self._observer.join(5)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Something happened in one of the folders; what, the content hash will tell."""
        into = event.dest_path in self._watched
        if not into and event.src_path not in self._watched:
            return
        self._look_after(WRITTEN_S if into or isinstance(event, FileClosedEvent) else QUIET_S)

    def _look_after(self, wait_s: float) -> None:
        """Look for changes when nothing more has happened for so long."""
        with self._wake:
            now = time.perf_counter()
            self._since = self._since or now
            self._over = now + wait_s
            self._wake.notify_all()

    def _run(self) -> None:
        while True:
            if not self._observes():
                self._observe_anew()
            self._thread.beat()
            with self._wake:
                if not self._stopping and not self._since:
                    self._wake.wait(BEAT_S)
                if self._stopping:
                    return
                if not self._since:
                    continue
                left_s = self._over - time.perf_counter()
                if left_s > 0:
                    self._wake.wait(left_s)
                    continue
                since, self._since = self._since, 0.0
            self._let_it_be_written()
            if self._reloader.follow("file changed", since) is not None:
                self._observe()

    def _observes(self) -> bool:
        """Whether notices of edits come from every folder; one that was removed ends its thread."""
        return self._observer.is_alive() and all(emitter.is_alive() for emitter in self._observer.emitters)

    def _observe_anew(self) -> None:
        self._observer.stop()
        self._observer, self._folders = self._new_observer(), {}
        self._observe()
        self._observer.start()
        self._look_after(QUIET_S)

    def _get_ready(self) -> None:
        """Import the node types that are installed, and what they import later, one after the other."""
        if self._stopped.wait(READY_AFTER_S):
            return
        catalog = Catalog(self._reloader.path.parent)
        for name in catalog.names():
            with contextlib.suppress(NodeTypeError, ImportError):  # an edit that uses it is refused, with the reason
                for module in sorted(catalog.get(name).cls.lazy):
                    importlib.import_module(module)
            if self._stopped.wait(QUIET_S):
                return

    def _let_it_be_written(self) -> None:
        """A flow file that is empty has most likely been cut short by an editor that is about to fill it: wait a moment."""
        end = time.perf_counter() + EMPTY_S
        while time.perf_counter() < end and not self._stopping:
            try:
                if self._reloader.path.stat().st_size:
                    return
            except OSError:
                return
            time.sleep(QUIET_S)

    def _observe(self) -> None:
        """Watch the folders in which something may change what a file of the flow reads."""
        paths = links_to(self._reloader.files())
        wanted = {path.parent for path in paths}
        self._watched = frozenset(
            map(str, [*paths, *wanted, *(above for folder in wanted for above in folder.parents)])
        )
        local = self._reloader.path.parent / "nodes"
        if local.is_dir():
            wanted.add(local)
        fresh = {folder for folder in wanted - self._folders.keys() if folder.is_dir()}
        for folder in fresh:
            self._folders[folder] = self._observer.schedule(self, str(folder), event_filter=EVENTS)
        if fresh:
            self._look_after(QUIET_S)  # something may have happened there since the files were read
        for folder in self._folders.keys() - wanted:
            self._observer.unschedule(self._folders.pop(folder))


def links_to(files: Iterable[Path]) -> list[Path]:
    """The files, every link on the way to them, and what those point at: what is in the files changes with any of these."""
    is_link = functools.cache(Path.is_symlink)
    paths = [file.absolute() for file in files]
    limit = MAX_LINKS * len(paths)
    for path in paths:
        link = next((part for part in (path, *path.parents) if is_link(part)), None)
        if link is not None and len(paths) < limit:
            target = link.parent / link.readlink() / path.relative_to(link)
            paths += [place for place in (link, target) if place not in paths]
    return paths
