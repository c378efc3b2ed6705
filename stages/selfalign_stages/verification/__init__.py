"""`selfalign verify`: reads every byte of artifacts and images again, and names what is damaged."""
