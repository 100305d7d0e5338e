"""Speaks Kustomer and knows nothing of Stella Connect."""
