"""`python -m flowrt` is the command line."""

import sys

from flowrt.cli import main

if __name__ == "__main__":
    sys.exit(main())
