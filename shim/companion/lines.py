"""Numbers in the lines that training programs print, without being told how those look: WANDB_SHIM_METRICS=auto.

Three kinds of lines count: progress bars of tqdm with a postfix (Lightning's, too), those of Keras, and lines that name
a step, an epoch or an iteration beside `key: value`, `key=value`, or a well-known word with a number behind it. All
else that a program prints is full of numbers that are no metrics.
"""

from __future__ import annotations

import re

Row = dict[str, float]

# Names of what metrics are drawn over, the finest first.
STEPS = ("global_step", "num_updates", "step", "iteration", "iter", "itr", "it", "batch", "epoch")
# Last words of a metric's name that stands before its number without a sign between them, as in "loss 2.3".
_WORDS = frozenset(
    (
        *("loss", "acc", "accuracy", "lr", "time", "mfu", "perplexity", "ppl", "error", "norm", "reward", "return"),
        *("score", "bleu", "f1", "auc", "iou", "miou", "map", "dt", "kl", "entropy", "precision", "recall", "bpb"),
        *("throughput", "speed", "tok/sec", "tokens/s", "wer", "cer", "mse", "mae", "rmse", "psnr", "ssim", "fid"),
    )
)
# What a bar says of itself, and no metric.
_OF_BARS = frozenset({"v_num", "eta", "ETA"})

# Bounds instead of `+` and `*`: a line of digits, or of blanks, takes no longer than any other.
_NUMBER = r"[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,3})?|[-+]?(?:nan|inf)\b"
# What may stand behind a number: a unit, a total (`10/100`); no date, time, version or path.
_BEHIND = r"(?P<behind>(?:\s*/\s*\d+)|\s?%|(?:ms|us|s|m|h|it/s|K|M|B|GB|MB)\b)?(?![\w/]|\.\w|:\d|-\w)"
_WORD = r"[A-Za-z_][\w./@-]*"
_MORE_WORDS = r"(?: [A-Za-z(][\w./@()-]*){0,5}?"
_PAIR = re.compile(
    rf"(?<![\w./@:\\-])(?P<key>{_WORD})(?P<sign>\s*[:=]\s*|\s+)(?P<value>{_NUMBER}){_BEHIND}", re.IGNORECASE
)
# A whole part of a line, whose key may have several words: `elapsed time per iteration (ms): 12.5`.
_PART = re.compile(
    rf"(?P<key>{_WORD}{_MORE_WORDS})(?P<sign>\s*[:=]\s*|\s+)(?P<value>{_NUMBER}){_BEHIND}", re.IGNORECASE
)
_BETWEEN = re.compile(r"[|,;\t•]| - |(?<=\d): ")
_QUOTED = re.compile(rf"""['"](?P<key>[\w./@ -]+)['"]\s*:\s*['"]?(?P<value>{_NUMBER})['"]?\s*[,}}]""", re.IGNORECASE)
_TQDM = re.compile(r"\d{1,3}%\|[^|]*\| *[\d.]+[a-zA-Z]*/[\d.]+[a-zA-Z]* \[(?P<inside>[^\]]*)\]")
_KERAS = re.compile(r"^ *\d+/\d+ .*\d(?:us|ms|s)/(?:step|epoch)(?P<metrics>.*)$")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x08")


class Lines:
    """Finds the metrics of one stream, line by line; the epoch that a line names goes on for Keras's bars."""

    def __init__(self) -> None:
        self._epoch: float | None = None

    def row(self, line: str) -> Row:
        """The metrics of a line, with what they are drawn over; nothing where it has none."""
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
    """Which of a row's names the others are drawn over; "" where it has none."""
    return next((name for name in STEPS if name in row), "")


def _over(row: Row) -> Row:
    return {name: value for name, value in row.items() if name in STEPS}


def _quoted(line: str) -> Row:
    """What Python or JSON printed of a dict; numbers may be text there."""
    return {_named(match["key"]): float(match["value"]) for match in _QUOTED.finditer(line)}


def _pairs(text: str, signs: bool = False) -> Row:
    """Names with their numbers.

    Args:
        text: A line or a part of it.
        signs: Whether each has `:` or `=` between them.
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
    """As it is printed; names of steps in small letters, without the unit in brackets."""
    key = key.partition(" (")[0].rstrip(" -")
    return key.lower() if key.lower() in STEPS else key
