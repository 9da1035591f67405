"""The packages that executors are built with, as pip spells them."""

from __future__ import annotations

NEMO_RUN = "nemo-run==0.11.1"
# 0.11.1 asks for leptonai>=0.26.6 and imports leptonai.api.v1, which later releases lack.
LEPTON_PIN = "leptonai<0.28"
