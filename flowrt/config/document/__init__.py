"""The documents of a flow: the file, what it includes, and what fills it from outside."""
