"""The journal's file: its tables and versions, transactions, the disk below it, its lock, its repair. No threads."""
