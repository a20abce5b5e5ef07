"""Instruments: what a venue's symbols stand for, and their definitions on each day.

`keys` reads symbols, `definitions` makes the rows of a day, `writing` asks the source and keeps catalogue and definitions.
"""
