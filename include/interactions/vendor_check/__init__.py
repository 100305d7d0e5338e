"""What *Check both vendors* concludes from what it saw: plain data in, findings out."""
