"""Facts made readable: text, JSON, lines while it happens, the live view. Nothing here decides anything."""
