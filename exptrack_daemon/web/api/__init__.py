"""`/api/v1`: what stands in the home folder, as JSON and as frames of numbers. One file a group of paths."""
