"""Checks of a pod's parts, one module a subject; apiserver/validation/podspec.py is what kinds call."""
