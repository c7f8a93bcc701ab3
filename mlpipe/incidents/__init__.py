"""What is wrong, from when to when."""
