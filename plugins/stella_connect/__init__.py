"""The hook for Stella Connect."""
