"""Classifiers of pictures, from the file of a picture to a model with a head of its own."""
