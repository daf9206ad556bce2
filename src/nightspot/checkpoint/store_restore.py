"""The newest checkpoint of the folder and the bucket together: whichever is newer, one step back over what is damaged."""

from __future__ import annotations

from functools import partial

from nightspot.checkpoint import manifest
from nightspot.checkpoint.many.ranks import first
from nightspot.checkpoint.opening import Opened
from nightspot.checkpoint.restore import Found, Search
from nightspot.checkpoint.store_uploads import Uploads


def newest(search: Search, opened: Opened, uploads: Uploads | None) -> Found | None:
    """As `search.newest`, after the bucket's was put into the folder where it is newer; of several ranks, the first has `uploads`.

    Where one of this machine is damaged, the bucket may have it whole: then that one takes its place.
    """
    fetch = partial(_fetched, search, opened, uploads)
    first(search.ranks, partial(fetch, None))
    found = search.newest()
    damaged = first(search.ranks, lambda: bool(search.bad))
    above = 0 if found is None else manifest.number(found.manifest.name)
    if not damaged or (fetched := first(search.ranks, partial(fetch, above))) is None:
        return found
    search.bad.discard(fetched)
    if found is not None:
        search.let_go(found)
    return search.newest()


def _fetched(search: Search, opened: Opened, uploads: Uploads | None, above: int | None) -> str | None:
    """above: None: what the folder has, whole or not."""
    if uploads is None:
        return None
    if above is None:
        above = max(map(manifest.number, manifest.names(opened.folder)), default=0)
    return uploads.fetch(opened.folder, above, search.check, opened.staging)
