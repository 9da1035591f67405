"""The one error and the one warning of the launcher, and the nearest right spelling for their messages."""

from __future__ import annotations

from collections.abc import Iterable


class LauncherError(Exception):
    """Something that the user can put right; the message says what happened, where, and what to do."""


class LauncherWarning(UserWarning):
    """Something that works but that the user should know, such as where a key can still be read."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "project"?` for a near miss, else the list of what is known.

    Args:
        word: What was written.
        known: What could have been written.
    """
    import difflib

    options = sorted(known)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known here: {', '.join(options)}" if options else ""
