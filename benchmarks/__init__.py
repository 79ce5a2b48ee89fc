"""Benchmarks: each a ratio against a baseline of the same run, alternating, median of at least five pairs with the spread.

make bench                                  # all, one table, out/bench.json
python -m benchmarks hops reload            # some
python -m benchmarks hops --pairs 9
"""
