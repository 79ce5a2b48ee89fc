"""Whether a camera still shows what its scene was drawn on."""
