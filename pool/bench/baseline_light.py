"""``python -m reptarium.pool.bench.baseline_light``: the baseline with a main module that costs its children nothing.

A forkserver's child imports the parent's main module again. With ``baseline.py`` as main that
is the event loop and the WebSocket library, in each task; with this one it is only what a task needs.
"""

if __name__ == "__main__":
    import sys

    from reptarium.pool.bench.baseline import main

    sys.exit(main(sys.argv[1:]))
