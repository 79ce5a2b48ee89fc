"""What the runtime needs of the machine: threads, waits, files, HTTP, and what is installed. It knows no flow."""
