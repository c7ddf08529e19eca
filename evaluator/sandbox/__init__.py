"""The sandbox: runs one program that a model has written, with its tests, where it can harm nobody."""
