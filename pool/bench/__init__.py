"""Load, measurements, faults: what ``reptarium bench`` does."""
