"""``python -m etamu`` is the command line."""

from __future__ import annotations

from etamu.cli import main

if __name__ == "__main__":
    main()
