"""The detector against rendered pictures with known boxes."""
