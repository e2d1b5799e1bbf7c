"""``python -m reptarium.pool.bench``: the same as ``reptarium bench``."""

import sys

from reptarium.pool.bench.cli import main

sys.exit(main(sys.argv[1:]))
