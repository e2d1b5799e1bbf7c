"""``python -m reptarium`` is ``reptarium``."""

import sys

from reptarium.pool.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
