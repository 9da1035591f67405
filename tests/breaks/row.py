"""One row of what is taken out of the code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Break:
    """One rule, and how to take it out.

    Attributes:
        rule: What the code promises.
        file: Where that stands.
        code: The lines that do it; they must be there exactly once.
        instead: What stands there once the rule is gone.
        test: The test that must fail then, as pytest selects it.
    """

    rule: str
    file: str
    code: str
    instead: str
    test: str
