"""`python -m nightspot.cli`: the same as `nightspot`, with this Python."""

from __future__ import annotations

from nightspot.cli.app import main

if __name__ == "__main__":
    main()
