"""The command line: finds the command, runs it, and turns whatever happens into a line and an exit code."""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from flowrt.addresses import without_passwords
from flowrt.commands import BAD_FLOW, BUILT_IN, DONE, FAILED, GROUP, USAGE, Failure, UsageError
from flowrt.diagnostics import FlowError, did_you_mean
from flowrt.system.resources import entry_points

DEBUG = "FLOWRT_DEBUG"
WITHOUT_COLLECTOR = ("check", "run")
"""Commands that begin without the garbage collector, which finds nothing while modules are imported and a flow is read. A check is over before it would matter; a run switches it on when the flow has started."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. No traceback reaches the user unless FLOWRT_DEBUG is set."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in WITHOUT_COLLECTOR:
        gc.disable()
        atexit.register(gc.freeze)  # as Python ends it would look through everything, several times
    try:
        return _main(words)
    except BrokenPipeError:  # the reader of our output has gone (`flowrt nodes | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return _fail("interrupted", FAILED)
    except UsageError as error:
        return _fail(str(error), USAGE)
    except FlowError as error:
        from flowrt.commands.check import print_diagnostics

        print_diagnostics(error.diagnostics)
        return BAD_FLOW
    except Failure as error:
        return _fail(str(error), FAILED)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        text = without_passwords(" ".join(str(error).split()))
        if isinstance(error, OSError) and error.strerror:
            text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            return _fail(text, FAILED)
        return _fail(f"internal error: {type(error).__name__}: {text} ({DEBUG}=1 shows where)", FAILED)
    finally:
        gc.enable()


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return DONE if words else USAGE
    if words[0] in ("-V", "--version"):
        import importlib.metadata

        print(f"flowrt {importlib.metadata.version('flowrt')}")
        return DONE
    name, *rest = words
    module = _module(name)
    parser = argparse.ArgumentParser(
        prog=f"flowrt {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.configure(parser)
    try:
        args = parser.parse_args(rest)
    except SystemExit as end:  # argparse has printed its help or what is wrong
        return int(end.code or 0)
    return int(module.run(args))


def _module(name: str) -> ModuleType:
    if name in BUILT_IN:
        return importlib.import_module(BUILT_IN[name].module)
    others = _others()
    if name not in others:
        what = "option" if name.startswith("-") else "command"
        raise UsageError(f"there is no {what} '{name}'; {did_you_mean(name, [*BUILT_IN, *others])}")
    return importlib.import_module(others[name])


def _others() -> dict[str, str]:
    """The modules of the commands that other packages add; built-in names can't be taken."""
    return {name: module for name, module in entry_points(GROUP).items() if name not in BUILT_IN}


def _overview() -> str:
    lines = {name: command.help for name, command in BUILT_IN.items()}
    for name, where in sorted(_others().items()):
        try:
            lines[name] = (importlib.import_module(where).__doc__ or "").partition("\n")[0]
        except Exception as error:  # a broken package must not take the help away
            lines[name] = f"(can't be used: {type(error).__name__}: {error})"
    width = max(map(len, lines))
    table = "\n".join(f"  {name:<{width}}  {text}" for name, text in lines.items())
    return (
        f"usage: flowrt COMMAND …\n       flowrt --version\n\n{table}\n\n"
        "`flowrt COMMAND --help` says more. Exit codes: 0 done, 1 the flow is bad, 2 usage, 3 failed."
    )


def _fail(message: str, code: int) -> int:
    print(f"flowrt: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
