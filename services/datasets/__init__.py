"""Data sets: what is uploaded is read as it stands, row by row, and what is made of it is written deterministically.

Nothing here holds a file in memory; everything but `store.py` and `making.py` knows files alone and no database.
"""
