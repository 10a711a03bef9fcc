"""The grammar that every part of steersman speaks: errors, names, times, selectors, quantities.

Pure words and arithmetic, no I/O. Imports nothing else of ours.
"""
