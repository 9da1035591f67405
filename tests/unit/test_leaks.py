from __future__ import annotations

import base64
import zlib
from pathlib import Path

from tests.leaks import files_with

KEY = "0123456789abcdef0123456789abcdef01234567"


def test_the_search_sees_clear_text_and_blobs_within_blobs(tmp_path: Path) -> None:
    inner = base64.b64encode(zlib.compress(b"x" * 50 + KEY.encode()))
    (tmp_path / "clear").write_text(f"a: {KEY}\n")
    (tmp_path / "plain").write_bytes(base64.b64encode(b"x" + KEY.encode()))
    (tmp_path / "blob").write_bytes(b'{"a": "' + base64.urlsafe_b64encode(zlib.compress(b"{}" + inner)) + b'"}')
    (tmp_path / "none").write_text("nothing")
    assert files_with(KEY, tmp_path) == {"clear": "clear", "plain": "blob", "blob": "blob"}
