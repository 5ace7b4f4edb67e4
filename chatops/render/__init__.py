"""What the user sees: standard output and error, formats, colour."""
