"""The command line: the one place of the shared package that may import the three parts."""
