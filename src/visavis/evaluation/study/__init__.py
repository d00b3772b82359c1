"""Blind user studies: a page that raters open in a browser, and the table of what they said."""
