"""Addresses and secrets from outside of the flow file.

- `Environment`: the variables of the process; `NAME_FILE` names a file that holds the value of `NAME`, as container images have it.
- `flowrt services` writes `flowrt.env` into its folder: where the services are, and which files hold their secrets. `flowrt run
  --services` starts with it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from flowrt.addresses import without_line_end

SERVICES_FILE = "flowrt.env"
MAX_BYTES = 65_536
"""Of a file with a secret."""
_SUFFIX = "_FILE"


class UnreadableSecret(Exception):
    """A file that a variable names can't be read; the message says which, why, and what to do."""


class Environment(Mapping[str, str]):
    """Variables by name; where NAME is not set or empty, the content of the file that NAME_FILE names. Line ends behind a value are
    taken off.

    A file is read each time it is asked for, so that a reload takes a changed secret. Raises UnreadableSecret.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def __getitem__(self, name: str) -> str:
        file = self._variables.get(name + _SUFFIX)
        if self._variables.get(name) or not file:
            return without_line_end(self._variables[name])
        try:
            return without_line_end(_content(Path(file)))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UnreadableSecret(
                f"{name}{_SUFFIX} names {file}, which can't be read ({reason}): correct the path, or run `flowrt services init` and "
                "start the services, which write it"
            ) from error

    def __iter__(self) -> Iterator[str]:
        files = {name.removesuffix(_SUFFIX) for name in self._variables if name.endswith(_SUFFIX)}
        return iter({**dict.fromkeys(self._variables), **dict.fromkeys(files)})

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _content(file: Path) -> str:
    """The text of a secret's file. Raises OSError, also for what would be waited for or does not end."""
    if file.is_fifo():
        raise OSError(errno.EINVAL, "it is a pipe, not a file")
    with file.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MAX_BYTES} bytes")
    return content.decode("utf-8")


def services_folder(folder: Path | None = None) -> Path:
    """The folder of the services' files: the given one, `docker` of a checkout, or `.flowrt/services` below the current folder."""
    if folder is None:
        folder = Path("docker")
        if not (folder / "compose.yaml").exists():
            folder = Path(".flowrt") / "services"
    return folder.resolve()


def read_services_file(folder: Path) -> dict[str, str]:
    """The variables of `flowrt.env`; empty where `flowrt services init` has not written it."""
    file = folder / SERVICES_FILE
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    pairs = (line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
