"""The reusable parts of the console's screens.

A widget knows data classes and never a client: the screen sets values on it, and it sends messages up. Colours come
from theme variables only, so every theme file recolours all of them.
"""
