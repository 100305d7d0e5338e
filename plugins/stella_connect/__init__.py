"""Speaks Stella Connect: profiles, the wait until an interaction is due, and its release."""
