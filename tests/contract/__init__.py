"""The contract: schemas, payloads, points, compatibility, and what is made from them."""
