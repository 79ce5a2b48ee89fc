"""What road users look like: shapes and colours."""
