"""Print the completion of a shell: bash, zsh, fish.

bash  flowrt completion bash > ~/.local/share/bash-completion/completions/flowrt
zsh   flowrt completion zsh > ~/.zfunc/_flowrt     (with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc)
fish  flowrt completion fish > ~/.config/fish/completions/flowrt.fish
"""

from __future__ import annotations

import argparse

from flowrt.commands import DONE
from flowrt.commands._all import whole_parser

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    import shtab  # needed by this command alone

    def complete(action: argparse.Action) -> None:
        """Arguments that say by their name that they are files are completed as such."""
        if action.metavar in ("FLOW", "FILE", "OLD", "NEW"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # the attribute by which shtab is told

    print(shtab.complete(whole_parser(complete), args.shell))
    return DONE
