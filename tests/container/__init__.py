"""The image and the compose file, built and run by a real engine (Podman)."""
