"""The contract: schemas, payloads, points, proof, and what is made from them."""
