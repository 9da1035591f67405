"""Patches of other people's libraries, applied right after the module that they change is imported."""
