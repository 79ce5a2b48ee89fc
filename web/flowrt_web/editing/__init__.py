"""Edits of a flow's files as text: what is changed is spliced in, every other line stays byte for byte."""
