"""Its being here puts this directory, and so squish_program.py, on the path of every suite below."""
