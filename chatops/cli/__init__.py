"""The command line: parse, call one domain function, render."""
