"""`make demo`: one run to watch, with simulators of both vendors."""
