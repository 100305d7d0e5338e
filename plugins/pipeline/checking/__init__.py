"""*Check both vendors*: read-only calls that show how the accounts answer."""
