"""Students: small models that are trained on a teacher's rationales under one of four objectives, and then examined."""
