"""What several nodes derive from the objects of one picture is computed once and kept with the message.

It lives as long as the message; a message with other columns starts without any. Cached arrays are read-only, as those of messages are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")


def per_frame(derive: Callable[P, T]) -> Callable[P, T]:
    """Cache a function of a picture's objects, or a method of an unchanging object: once for each object and each picture.

    The objects are the last argument, and all arguments are positional.
    """

    @functools.wraps(derive)
    def cached(*args: P.args, **kwargs: P.kwargs) -> T:
        *owner, objects = args
        cache: dict[Any, T] = vars(objects)
        key = (derive, *owner)
        if key not in cache:
            result = derive(*args, **kwargs)
            if result is objects:  # within itself it would never be freed: the collector does not look into messages
                return result
            for array in result if isinstance(result, tuple) else (result,):
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
            cache[key] = result
        return cache[key]

    return cached
