"""echochamber"""
