"""How the bundled detector comes about: render, train, export, measure (see README.md here). Needs the extra `train`."""
