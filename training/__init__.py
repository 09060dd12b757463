"""The training service of Blindrate: teacher data, students, explanations. Files in, files out; worker.py alone knows the application."""
