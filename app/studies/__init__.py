"""Human studies: definition, conditions, stimuli, allocation of trials."""
