"""What commands write to a terminal and read from the command line: tables, problems with their source lines, the log, arguments.

For the commands of other packages too.
"""
