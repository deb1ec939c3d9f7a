"""What is to be uploaded: spreadsheets, JSON Lines, folders, patterns, and a folder that is watched."""
