"""The simulator of Stella Connect's API: feedback requests, employees and Data Return."""
