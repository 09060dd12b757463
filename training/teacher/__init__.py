"""Teachers: the prompts, the engines that run a large model, and the rationales it writes."""
