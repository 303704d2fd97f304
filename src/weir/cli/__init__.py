"""The command line: one file per command, each loaded only when it is used.

Exit status of every command: 0 it did what was asked, 1 it could not start or failed, 2 the command line or
the configuration is wrong.
"""
