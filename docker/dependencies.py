"""Print the dependencies of a pyproject.toml, one per line: they get a layer of their own in the image."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text("utf-8"))["project"]
print("\n".join(project["dependencies"]))
