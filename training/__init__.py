"""The training service of Blindrate: teacher data, students, explanations. Files in, files out; worker.py alone knows the application."""

import os

# Idle threads of torch wait for each other by spinning unless told otherwise. On a machine that does anything else besides, that
# was seen to cost twenty times the time; asleep, they cost next to nothing. It has to be said before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
