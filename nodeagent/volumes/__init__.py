"""Volumes of pods: one file per family, manager.py puts a pod's volumes together and keeps them current."""
