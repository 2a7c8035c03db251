"""What time it is: a seam, so that tests can let tokens age."""

from collections.abc import Callable

type Clock = Callable[[], float]
"""Seconds since the epoch, as ``time.time`` gives them."""
