"""Metrics in the lines that training programs print, where nobody says how the lines look: WANDB_SHIM_METRICS=auto.

Three kinds of lines count: progress bars of tqdm with a postfix (Lightning's, too), progress bars of Keras, and lines
that name a step, an epoch or an iteration beside `key: value`, `key=value`, or a well-known word and a number. Other
lines are full of numbers that are no metrics.
"""

from __future__ import annotations

import re

Row = dict[str, float]

# Names over which metrics are drawn, the finest first.
STEPS = ("global_step", "num_updates", "step", "iteration", "iter", "itr", "it", "batch", "epoch")
# Last words of names of metrics that may stand before a number without a sign in between, as in "loss 2.3".
_WORDS = frozenset(
    (
        *("loss", "acc", "accuracy", "lr", "time", "mfu", "perplexity", "ppl", "error", "norm", "reward", "return"),
        *("score", "bleu", "f1", "auc", "iou", "miou", "map", "dt", "kl", "entropy", "precision", "recall", "bpb"),
        *("throughput", "speed", "tok/sec", "tokens/s", "wer", "cer", "mse", "mae", "rmse", "psnr", "ssim", "fid"),
    )
)
# Names that a progress bar has for itself, which are no metrics.
_OF_BARS = frozenset({"v_num", "eta", "ETA"})

# With bounds instead of `+` and `*`, so that a line of digits or blanks takes no longer than any other.
_NUMBER = r"[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,3})?|[-+]?(?:nan|inf)\b"
# What may follow a number: a unit or a total (`10/100`), but no date, time, version or path.
_BEHIND = r"(?P<behind>(?:\s*/\s*\d+)|\s?%|(?:ms|us|s|m|h|it/s|K|M|B|GB|MB)\b)?(?![\w/]|\.\w|:\d|-\w)"
_WORD = r"[A-Za-z_][\w./@-]*"
_MORE_WORDS = r"(?: [A-Za-z(][\w./@()-]*){0,5}?"
_PAIR = re.compile(
    rf"(?<![\w./@:\\-])(?P<key>{_WORD})(?P<sign>\s*[:=]\s*|\s+)(?P<value>{_NUMBER}){_BEHIND}", re.IGNORECASE
)
# A whole part of a line; its key may have several words: `elapsed time per iteration (ms): 12.5`.
_PART = re.compile(
    rf"(?P<key>{_WORD}{_MORE_WORDS})(?P<sign>\s*[:=]\s*|\s+)(?P<value>{_NUMBER}){_BEHIND}", re.IGNORECASE
)
_BETWEEN = re.compile(r"[|,;\t•]| - |(?<=\d): ")
_QUOTED = re.compile(rf"""['"](?P<key>[\w./@ -]+)['"]\s*:\s*['"]?(?P<value>{_NUMBER})['"]?\s*[,}}]""", re.IGNORECASE)
_TQDM = re.compile(r"\d{1,3}%\|[^|]*\| *[\d.]+[a-zA-Z]*/[\d.]+[a-zA-Z]* \[(?P<inside>[^\]]*)\]")
_KERAS = re.compile(r"^ *\d+/\d+ .*\d(?:us|ms|s)/(?:step|epoch)(?P<metrics>.*)$")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x08")


class Lines:
    """Finds the metrics of one stream, line by line; a bar of Keras gets the epoch that an earlier line has named."""

    def __init__(self) -> None:
        self._epoch: float | None = None

    def row(self, line: str) -> Row:
        """The metrics of a line, with the steps over which they are drawn; empty where the line has no metrics."""
        line = _ANSI.sub("", line)
        if not any(char.isdigit() for char in line):
            return {}
        bar = _TQDM.search(line)
        if bar:
            postfix = _pairs(bar["inside"].partition(", ")[2], signs=True)
            epoch = _over(_pairs(line[: bar.start()]))
            return {**epoch, **postfix} if postfix else {}
        keras = _KERAS.match(line)
        if keras:
            found = _pairs(keras["metrics"], signs=True)
            return {**({} if self._epoch is None else {"epoch": self._epoch}), **found} if found else {}
        found = _quoted(line) if "{" in line else _pairs(line)
        over = _over(found)
        self._epoch = over.get("epoch", self._epoch)
        return found if over and len(over) < len(found) else {}


def step_of(row: Row) -> str:
    """The name in a row over which the others are drawn; "" where the row has no such name."""
    return next((name for name in STEPS if name in row), "")


def _over(row: Row) -> Row:
    return {name: value for name, value in row.items() if name in STEPS}


def _quoted(line: str) -> Row:
    """Names and numbers of a dict as Python or JSON prints it; the numbers may be text there."""
    return {_named(match["key"]): float(match["value"]) for match in _QUOTED.finditer(line)}


def _pairs(text: str, signs: bool = False) -> Row:
    """Names with their numbers.

    Args:
        text: A line or a part of it.
        signs: Whether each name and its number have `:` or `=` between them.
    """
    found: Row = {}
    for part in _BETWEEN.split(text):
        whole = _PART.fullmatch(part.strip())
        for match in [whole] if whole else _PAIR.finditer(part):
            key, value, behind = _named(match["key"]), float(match["value"]), match["behind"] or ""
            bare = not match["sign"].strip()
            if bare and key.rpartition(" ")[2] in STEPS:
                key = key.rpartition(" ")[2]
            known = key in STEPS or (not signs and key.rpartition(" ")[2].lower() in _WORDS)
            if key not in _OF_BARS and (known or not bare) and (key in STEPS or "/" not in behind):
                found[key] = value
    return found


def _named(key: str) -> str:
    """The name as it is printed, without a unit in brackets; names of steps become lower case."""
    key = key.partition(" (")[0].rstrip(" -")
    return key.lower() if key.lower() in STEPS else key
