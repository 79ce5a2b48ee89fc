"""Makes `training/` importable: it is a folder of scripts beside the packages, not one of them."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))
