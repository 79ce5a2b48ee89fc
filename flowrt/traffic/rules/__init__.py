"""What a traffic rule is made of: `Rule` and its parts. Authors import the public names from `flowrt`."""
