"""The status of every service, and what to do about what is wrong."""
