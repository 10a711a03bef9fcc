"""See apimachinery/filewatch.py."""

from apimachinery.filewatch import SECONDS, WatchedFile, watch

__all__ = ["SECONDS", "WatchedFile", "watch"]
