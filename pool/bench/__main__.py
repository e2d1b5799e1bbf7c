"""``python -m pool.bench``: the same as ``reptarium bench``."""

import sys

from pool.bench.cli import main

sys.exit(main(sys.argv[1:]))
