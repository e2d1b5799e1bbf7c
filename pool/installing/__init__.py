"""Packages for user code that a requirements file names: installed at the start, never into the runner."""
