"""`python -m imitari`: the command line."""

import sys

from imitari.cli import main

if __name__ == "__main__":
    sys.exit(main())
