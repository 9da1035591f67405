"""What the script prints goes to the companion, too: a copy of each line, after the line itself was written.

wandb captures the console in the same place, by replacing `write` of sys.stdout and sys.stderr. A print with four
arguments is eight writes, which are joined to lines first: one message for each write would cost most.
"""

# The most writes that are joined: progress bars go on for hours without the end of a line.
_JOINED_MAX = 64


class Console:
    """The streams that are followed.

    Args:
        channel: Where the copies go.
    """

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        self._streams: "list[_Followed]" = []

    def follow(self, stream: object, kind: int) -> None:
        """Copy what is written to a stream of the script's from now on; one whose `write` cannot be set is left alone.

        Args:
            stream: sys.stdout, sys.stderr, or what the script has put there.
            kind: frames.STDOUT or frames.STDERR.
        """
        if getattr(stream, "write", None) is not None and not any(one.stream is stream for one in self._streams):
            followed = _Followed(self._channel, stream, kind)
            try:
                stream.write = followed.tee()  # type: ignore[attr-defined]
            except (AttributeError, TypeError):
                return
            self._streams.append(followed)

    def follow_replaced(self, stream: object, kind: int) -> None:
        """Follow the stream that the script has put in place of another, where it writes to the same file by itself.

        A stream that hands all on to the one it has replaced is followed already.
        """
        buffer = getattr(stream, "buffer", None)
        known = [getattr(one.stream, "buffer", None) for one in self._streams if one.kind == kind]
        if buffer is not None and any(buffer is one for one in known):
            self.follow(stream, kind)

    def flush(self) -> None:
        """Send what is no whole line yet."""
        for one in self._streams:
            one.flush()

    def leave(self) -> None:
        """Put the streams' own `write` back, where ours is still there."""
        for one in self._streams:
            one.leave()


class _Followed:
    """One stream."""

    __slots__ = ("_channel", "_joined", "_tee", "kind", "stream")

    def __init__(self, channel: "Channel", stream: "Any", kind: int) -> None:
        self._channel = channel
        self._joined: "list[str]" = []
        self.stream = stream
        self.kind = kind

    def tee(self) -> "Callable[[str], int]":
        """The function that takes the place of the stream's `write`."""
        original, channel, joined, flush = self.stream.write, self._channel, self._joined, self.flush

        def write(text: str, /) -> int:
            count: int = original(text)
            if channel.descriptor >= 0:
                try:
                    joined.append(text)
                    if "\n" in text or "\r" in text or len(joined) > _JOINED_MAX:
                        flush()
                except Exception:
                    pass  # the line itself is written; only its copy is lost
            return count

        self._tee = write
        return write

    def flush(self) -> None:
        taken, joined = [], self._joined
        try:
            while joined:
                taken.append(joined.pop(0))  # one by one: another thread may take some of them
        except IndexError:
            pass
        if taken:
            text = taken[0] if len(taken) == 1 else "".join(taken)
            data = text.encode("utf-8", "replace") if isinstance(text, str) else bytes(text)
            self._channel.write(self.kind, data)

    def leave(self) -> None:
        if getattr(self.stream, "write", None) is self._tee:
            try:
                del self.stream.write
            except AttributeError:
                pass


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .channel import Channel
