"""The training service of Blindrate: teacher data, students, explanations. Files in, files out; the one door to the database is worker.py."""
