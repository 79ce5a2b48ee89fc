"""What `flowrt check` finds in scenes: in the drawing, in its metres, and where a real camera meets what is simulated."""
