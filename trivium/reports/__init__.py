"""Reports for people: one HTML file each, that needs nothing else and asks nobody for anything."""
