"""Stage 1, red-teaming (paper section 3.1): general self-instruct and topic-guided questions, merged to prompts."""
