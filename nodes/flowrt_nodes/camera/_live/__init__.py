"""Live cameras: connections to them, and the thread that reads one."""
