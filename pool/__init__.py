"""The trusted side of Reptarium: broker link, session, warm worker pool, commands."""

__version__ = "0.1.0"
