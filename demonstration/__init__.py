"""The rooms of ``demo.py``: a year of flights, the real server, and what is made of its answers."""
