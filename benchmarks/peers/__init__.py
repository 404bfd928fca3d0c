"""One file a peer: the environment that it runs in, pinned and built on demand below .venvs/."""
