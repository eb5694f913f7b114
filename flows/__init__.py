"""Prefect flows: thin tasks around the library. What passes between tasks is paths and small records."""
