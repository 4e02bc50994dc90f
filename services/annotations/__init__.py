"""The annotator's parts: who describes pictures, how they are sent, what is kept, and how it is written."""
