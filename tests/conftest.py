"""Before jitgrad is imported: tests keep their kernels beside pytest's own cache, not in the user's directory."""
from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("JITGRAD_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "kernels"))
