"""Colour themes as data files. A package only so that they travel inside the wheel; `console.theme` reads them."""
