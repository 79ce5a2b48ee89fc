"""Commands that flowrt_ops adds to the command line, each a module with `configure` and `run`."""
