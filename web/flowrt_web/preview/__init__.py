"""What the last minutes would have given under a draft: their tracks are kept while a tab is open, and run through the drafted rules."""
