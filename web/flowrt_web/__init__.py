"""The live page of a run: what browsers are shown, asked and allowed to change. `static/` is shipped as it is; nothing is built."""
