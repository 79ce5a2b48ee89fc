"""What a tab is told while it is open: figures, taps and pictures, over one web socket."""
