"""The relay's answers for an assistant: a server of the Model Context Protocol on standard input and output.

Its law: nothing here can change anything. It imports no publisher, no subscriber and no client of OneStock; it gets
functions that read (`Readers`), and an import contract keeps it so.
"""
