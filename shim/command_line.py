"""What an interpreter was asked to run. Loaded before user code: no imports."""

# Interpreter options with a value, which is the next argument where none is attached (CPython, Python/initconfig.c).
_OPTIONS_WITH_VALUE = "WX"


class CommandLine:
    """What the interpreter was asked to run.

    Attributes:
        kind: "script", "module", "command", "stdin" (also the REPL) or "none" (`--version`, `--help`).
        target: The script's path, the module's name or the command's text.
        arguments: What follows the target.
        inspect: Whether -i was given.
        isolated: Whether -I was given; installers that ask an interpreter about itself give it.
    """

    __slots__ = ("arguments", "inspect", "isolated", "kind", "target")

    def __init__(
        self, kind: str, target: str, arguments: "Sequence[str]", inspect: bool, isolated: bool = False
    ) -> None:
        self.isolated = isolated
        self.kind = kind
        self.target = target
        self.arguments = arguments
        self.inspect = inspect


def parse_command_line(orig_argv: "Sequence[str]") -> CommandLine:
    """Split `sys.orig_argv` as CPython's own option parser does (Python/getopt.c)."""
    inspect = isolated = False
    position = 1
    while position < len(orig_argv):
        word = orig_argv[position]
        position += 1
        if word == "-":
            return CommandLine("stdin", "-", orig_argv[position:], inspect)
        if not word.startswith("-"):
            return CommandLine("script", word, orig_argv[position:], inspect)
        if word.startswith("--"):
            if word == "--check-hash-based-pycs":
                position += 1
            elif word != "--":
                return CommandLine("none", word, (), inspect)
            continue
        for at, letter in enumerate(word[1:], start=2):
            if letter in "cm":
                target = word[at:]
                if not target and position < len(orig_argv):
                    target = orig_argv[position]
                    position += 1
                kind = "command" if letter == "c" else "module"
                return CommandLine(kind, target, orig_argv[position:], inspect, isolated)
            if letter in _OPTIONS_WITH_VALUE:
                position += not word[at:]
                break
            if letter in "hV?":
                return CommandLine("none", word, (), inspect)
            inspect = inspect or letter == "i"
            isolated = isolated or letter == "I"
    return CommandLine("stdin", "", (), inspect)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
