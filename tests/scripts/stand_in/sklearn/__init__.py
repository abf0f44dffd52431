"""Stands in for scikit-learn where it is not installed: its sets of data, read from the files that it ships."""
