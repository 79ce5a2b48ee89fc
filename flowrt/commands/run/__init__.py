"""Run a flow, and follow every edit of its file."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flowrt.clock import SystemClock
from flowrt.commands import BAD_FLOW, DONE, FAILED, Failure, UsageError
from flowrt.commands.check import parse_overrides, print_diagnostics
from flowrt.commands.terminal.arguments import seconds
from flowrt.commands.terminal.logs import set_up, strays_logged
from flowrt.config import load
from flowrt.config.cache import LoadCache
from flowrt.config.sections import sections
from flowrt.contract import Contract
from flowrt.delivery import Delivery
from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.flow import Flow
from flowrt.journal import Journal, JournalBusy, JournalVersionError, data_folder, journal_path
from flowrt.runtime import Runtime, SharedCall, StartFailed
from flowrt.secrets import Secrets
from flowrt.services.environment import SERVICES_FILE, Environment, read_services_file, services_folder
from flowrt.system.backoff import Backoff
from flowrt.system.private_files import make_private_folder
from flowrt.system.signed_links import SignedLinks
from flowrt.system.threads import Supervisor

if TYPE_CHECKING:  # imported where they are needed: a flow with problems should be refused at once
    from flowrt.http import HttpServer
    from flowrt.watch import Reloader, Watcher

log = logging.getLogger("flowrt")

SWITCH_INTERVAL_S = 0.0005
"""How long a busy Python thread may keep the others waiting; the default of 5 ms shows in the latency of every hop."""

STOP_S = 12.0
"""How long the end may take whatever hangs, before the process ends by force, with exit code 3; systemd's unit gives it 15 s."""

OPENING_S = 4.0
"""How long nodes that open may go on with it after a signal."""

LEFT_BEHIND_S = 3.0
"""How long sources that did not stop in time may still take before the process ends with them."""

SETTLED_AFTER_S = 5.0
"""When a flow has run for so long, what will stay for good has been made: modules, the graph, what nodes remember of the scene."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `flowrt run`."""
    parser.add_argument("flow", metavar="FLOW", help="the flow file")
    parser.add_argument("--duration", type=seconds, metavar="S", help="stop after so many seconds")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a JSON report at the end")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.SETTING=VALUE", help="override a setting")
    parser.add_argument(
        "--log-format", choices=["text", "json"], default="text", help="log lines for people or machines"
    )
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    parser.add_argument(
        "--http",
        metavar="HOST:PORT",
        help="page, status, metrics and reload, or off (default: 127.0.0.1:8480, or the next free port)",
    )
    parser.add_argument("--page", choices=["on", "off"], default="on", help="off: status and metrics alone")
    parser.add_argument(
        "--edit",
        choices=["off", *sections(), "flow"],
        help="what the page may change in the flow's files: nothing, this section, or the whole flow (default: sections on loopback, else off)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument(
        "--services",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="use the services that `flowrt services` prepared there (default: docker/, else .flowrt/services)",
    )
    parser.add_argument("--watch", choices=["auto", "poll", "off"], default="auto", help="how edits are noticed")
    parser.add_argument("--strict", action="store_true", help="refuse a reload that would park a sink's backlog")
    parser.add_argument("--fetch", action="store_true", help="download what the flow names and is not here, as models")
    parser.add_argument("--plain", action="store_true", help="log lines instead of the live view on a terminal")


def run(args: argparse.Namespace) -> int:
    """Run until the sources end, the time is up or a signal comes."""
    overrides = parse_overrides(args.set)
    if args.services is not None:
        _use_services(services_folder(Path(args.services) if args.services else None))
    cache = LoadCache()
    try:
        flow = load(args.flow, overrides=overrides, cache=cache, fetch=args.fetch)
    except FlowError as error:
        print_diagnostics(error.diagnostics)
        return 1
    secrets = Secrets()
    secrets.learn(flow.secrets, flow.nodes)
    set_up(args.log_format, getattr(logging, args.log_level.upper()), secrets)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if args.report is not None:
        args.report = args.report.absolute()  # a node may change the folder of the process
    try:
        with strays_logged():
            return _Run(args, flow, overrides, cache, secrets).run()
    except (JournalBusy, JournalVersionError) as error:
        log.error("%s", error)
        return 3


def _edits(mode: str | None) -> frozenset[str] | None:
    """What pages may change, for `--edit`; None for the default."""
    if mode is None:
        return None
    return {"off": frozenset[str](), "flow": frozenset([*sections(), "flow"])}.get(mode, frozenset([mode]))


def _use_services(folder: Path) -> None:
    """Put addresses and files of secrets into the environment. A service whose address is set there already keeps its own."""
    variables = read_services_file(folder)
    if not variables:
        raise Failure(f"{folder / SERVICES_FILE} is missing: run `flowrt services init`, then start the services")
    own = {name.removesuffix("_URL") for name in variables if name.endswith("_URL") and os.environ.get(name)}
    os.environ.update({name: value for name, value in variables.items() if name.partition("_")[0] not in own})


class _Run:
    """One run, from the start to the exit code.

    The main thread only waits: for signals, for the end, for the watchdog's time. What may hang (opening, reloading, stopping) is
    done on other threads, so that a stop is bounded whatever hangs.
    """

    def __init__(
        self, args: argparse.Namespace, flow: Flow, overrides: dict[str, str], cache: LoadCache, secrets: Secrets
    ) -> None:
        self.cache = cache
        self.args, self.flow, self.overrides, self.secrets = args, flow, overrides, secrets
        self.stopping = threading.Event()
        self.hung_up = threading.Event()
        self.supervisor = Supervisor(log)
        self.started = time.monotonic()

    def run(self) -> int:
        from flowrt.watch import Reloader, Watcher

        args, flow, clock = self.args, self.flow, SystemClock()
        folder = data_folder()
        try:
            make_private_folder(folder)
            journal = Journal(journal_path(flow.name), clock=clock, log=log, supervisor=self.supervisor)
        except OSError as error:
            log.error(
                "the data folder %s can't be used: %s; set FLOWRT_DATA to a folder that can be written",
                folder,
                error.strerror or error,
            )
            return FAILED
        delivery = Delivery(journal, clock, log, secrets=self.secrets, supervisor=self.supervisor)
        runtime = Runtime(
            flow,
            delivery=delivery,
            contract=Contract.of_flow(flow.folder),
            clock=clock,
            data=folder,
            secrets=self.secrets,
            supervisor=self.supervisor,
            links=SignedLinks(folder),
        )
        reloader = Reloader(
            runtime, overrides=self.overrides, strict=args.strict, cache=self.cache, on_load=self._learn
        )
        watcher = Watcher(reloader, args.watch) if args.watch != "off" else None
        server = None
        try:
            if args.http != "off":
                from flowrt.http import BadAddress, HttpServer

                try:
                    server = HttpServer(
                        runtime, reloader, args.http, self.secrets, page=args.page == "on", edit=_edits(args.edit)
                    )
                except BadAddress as error:
                    raise UsageError(str(error)) from error
                if runtime.links:
                    runtime.links.base = self._public_url(server)
                if server.notice:
                    log.warning("%s", server.notice)
        except BaseException:
            journal.close()
            raise
        with self._signals():
            try:
                if not self._start(runtime, watcher, server):
                    return self._give_up(runtime, "it had not started")
                self._serve_hangups(reloader)
                self._until_the_end(runtime, server)
            except StartFailed as error:
                print_diagnostics([_start_problem(flow, error)])
                SharedCall(journal.close, "end").result(STOP_S)
                return FAILED if self.stopping.is_set() else BAD_FLOW
            _notify("STOPPING=1")
            end = SharedCall(partial(self._end, runtime, journal, watcher, server), "end")
            try:
                return end.result(STOP_S)
            except TimeoutError:
                return self._give_up(runtime)

    def _public_url(self, server: HttpServer) -> str:
        """Where browsers elsewhere reach this run: by FLOWRT_PUBLIC_URL, else by this machine's name."""
        here = server.url.replace("//0.0.0.0:", f"//{socket.gethostname()}:").replace(
            "//[::]:", f"//{socket.gethostname()}:"
        )
        url = Environment().get("FLOWRT_PUBLIC_URL", "").rstrip("/") or here
        if not url.isascii() or urlsplit(url).scheme not in ("http", "https") or any(c <= " " for c in url):
            raise UsageError(
                f"FLOWRT_PUBLIC_URL: expected an address such as https://north.example:8480, found {url!r}"
            )
        return url

    def _start(self, runtime: Runtime, watcher: Watcher | None, server: HttpServer | None) -> bool:
        """Open and start everything; False where a signal came meanwhile and a node goes on opening."""

        def start() -> None:
            if server:
                server.start()  # first: it tells which node is slow to open
            runtime.start()
            if watcher:
                watcher.start()

        started = SharedCall(start, "start").future()
        while not self.stopping.is_set() and not started.done():
            wait([started], 0.2)
        wait([started], OPENING_S)
        if not started.done():
            runtime.ending.set()  # what hangs is left behind, and what is open closes
            wait([started], STOP_S - OPENING_S)
        if started.done():
            started.result()
        return started.done()

    def _serve_hangups(self, reloader: Reloader) -> None:
        def serve() -> None:
            while True:
                self.hung_up.wait()
                self.hung_up.clear()
                reloader.reload("SIGHUP")

        self.supervisor.thread("SIGHUP", serve, restart=Backoff(0.1, 5.0)).start()

    def _end(self, runtime: Runtime, journal: Journal, watcher: Watcher | None, server: HttpServer | None) -> int:
        """Stop everything, in order, and write the report. Returns the exit code."""
        from flowrt.commands.run._report import report

        runtime.ending.set()  # so that a reload under way, which the watcher waits for, gives up
        if watcher:
            watcher.stop()
        runtime.stop()
        failed = self.supervisor.failed()  # what is closed from here on may say so by an exception
        if server:
            server.stop()
        journal.close()
        left_behind = runtime.left_behind(LEFT_BEHIND_S)
        for thread in failed:
            log.error("%s", thread.trouble)
        if left_behind:
            log.error("still busy, and cut off: %s", ", ".join(left_behind))
        code = FAILED if runtime.failed_sources or failed or left_behind else DONE
        facts = report(runtime, wall_s=time.monotonic() - self.started, exit_code=code)
        _say_goodbye(facts)
        if self.args.report:
            try:
                self.args.report.write_text(json.dumps(self.secrets.data(facts), indent=2) + "\n")
            except OSError as error:
                log.error("the report can't be written to %s: %s", self.args.report, error.strerror)
                code = FAILED
        if (
            left_behind
        ):  # as Python ends it stops threads wherever they are, and within compiled code that takes the process down
            logging.shutdown()
            os._exit(code)
        return code

    def _give_up(self, runtime: Runtime, *why: str) -> int:
        """End the process although something hangs; what is on disk stays, and is delivered by the next run."""
        hooks = [hang.text for hang in runtime.hanging(0.0)]
        reasons = dict.fromkeys((*why, *runtime.trouble(), *hooks))
        log.critical(
            "the run did not end within %g s and is cut off: %s", STOP_S, "; ".join(reasons) or "something hangs"
        )
        logging.shutdown()
        os._exit(FAILED)

    def _until_the_end(self, runtime: Runtime, server: HttpServer | None) -> None:
        """Wait for the sources to end, the time to be up, or a signal; serve the systemd watchdog meanwhile."""
        args = self.args
        about = "edit the flow file to change it while it runs; Ctrl-C stops" + (
            f"; status at {server.url}/api/status" if server else ""
        )
        page_url = server.page_url if server else ""
        if page_url:
            about = f"page at {page_url}; {about}"
        if page_url and args.open:
            webbrowser.open(page_url)
        view = None
        if not sys.stderr.closed and sys.stderr.isatty() and not args.plain and args.log_format == "text":
            from rich.console import Console

            from flowrt.commands.run._live import LiveView

            view = LiveView(runtime, Console(stderr=True), about)
            set_up("text", logging.getLogger("flowrt").level, self.secrets, view)
        log.info("%s runs: %d nodes; %s", self.flow.name, len(self.flow.nodes), about)
        _notify("READY=1")
        end = time.monotonic() + args.duration if args.duration else None
        settle()
        settled = time.monotonic() + SETTLED_AFTER_S
        try:
            if view:
                view.start()
            while not self.stopping.is_set() and not runtime.done.is_set():
                left = 0.2 if end is None else min(0.2, end - time.monotonic())
                if left <= 0:
                    break
                runtime.done.wait(left)
                if runtime.progresses():
                    _notify("WATCHDOG=1")
                if settled and time.monotonic() > settled:
                    settled = 0.0
                    settle()
        finally:
            if view:
                view.stop()
                set_up(args.log_format, logging.getLogger("flowrt").level, self.secrets)

    def _learn(self, flow: Flow) -> None:
        """An edit may bring new secrets, which its nodes may say as soon as they open."""
        self.secrets.learn(flow.secrets, flow.nodes)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the run, a second one at once; SIGHUP reloads."""

        def end(number: int, _: FrameType | None) -> None:
            if self.stopping.is_set():
                raise KeyboardInterrupt
            self.stopping.set()

        def hang_up(_: int, __: FrameType | None) -> None:
            self.hung_up.set()

        wanted: dict[int, Callable[[int, FrameType | None], None]] = {signal.SIGINT: end, signal.SIGTERM: end}
        if hasattr(signal, "SIGHUP"):
            wanted[signal.SIGHUP] = hang_up
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _start_problem(flow: Flow, error: StartFailed) -> Diagnostic:
    return flow.diagnostic(error.node, str(error), "nothing was started; FLOWRT_DEBUG=1 shows where it was raised")


def _say_goodbye(facts: dict[str, Any]) -> None:
    """The account of each sink: accepted + resumed = delivered + pending + dead letters + dropped."""
    log.info("stopped after %.1f s: %s frames, %.1f per second", facts["wall_s"], facts["frames"], facts["fps"])
    for name, row in facts["delivery"].items():
        dropped = sum(row["dropped"].values())
        why = ", ".join(f"{count} {kind}" for kind, count in row["dropped"].items())
        log.info(
            "  %s: %d accepted, %d resumed, %d delivered, %d pending, %d dead letters, %d dropped%s",
            name, row["accepted"], row["resumed"], row["delivered"], row["pending"], row["dead_letters"], dropped,
            f" ({why})" if why else "",
        )  # fmt: skip
    for name, count in facts["parked"].items():
        log.info("  %s: %d pending, and no node that delivers them", name, count)
    for name, row in facts["nodes"].items():
        if row["errors"] or row["unsendable"]:
            log.warning("  %s: %d errors, %d messages that no sink can encode", name, row["errors"], row["unsendable"])


def settle() -> None:
    """Let the garbage collector work from here on, but not on what there is, which will stay; give back the memory that is free now.

    A full collection that looks at everything takes 20 to 50 ms, between two pictures or amid a reload. Memory can be given back
    where the C library is glibc.
    """
    gc.freeze()
    gc.enable()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _notify(state: str) -> None:
    """Tell systemd, where it listens (sd_notify's protocol: one datagram to $NOTIFY_SOCKET)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
