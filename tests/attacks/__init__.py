"""What somebody might put in the place of a file, a name or a setting of ours."""
