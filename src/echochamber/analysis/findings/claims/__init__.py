"""One file per claim or family of claims, each registered by the function that tests it.

Every module of this folder is imported by the registry: a new claim is a new file here, or a function in a
user's own module.
"""
