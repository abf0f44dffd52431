"""Stands in for scikit-learn where it is not installed: its images of digits, read from the file that it ships."""
