"""What stands around a program inside the sandbox, one file a language; read as text, never imported."""
