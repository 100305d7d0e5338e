"""What both vendors' hooks share: reading a connection, one session, retries of reads, one exception tree."""
