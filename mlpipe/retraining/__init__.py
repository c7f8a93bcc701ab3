"""Fit a challenger, compare it with the champion, deploy the better one."""
