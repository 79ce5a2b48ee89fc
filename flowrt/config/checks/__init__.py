"""What is checked once everything is read: names, wiring, the contract, and what node types check themselves."""
