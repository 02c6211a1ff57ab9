"""The sections of the page, one file each.

Every module of this folder is imported when a page is drawn and registers what it draws.
"""
