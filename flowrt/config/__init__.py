"""Flow files: read, checked and made into a `Flow`, or into a list of everything that is wrong with them.

flow = load("intersection.yaml")            # raises FlowError with all problems
flow, problems = read("intersection.yaml")  # the same without raising, warnings included
"""

from flowrt.config.loader import load, parts, read

__all__ = ["load", "parts", "read"]
