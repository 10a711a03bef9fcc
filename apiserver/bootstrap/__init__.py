"""Objects that the API server makes sure of at every start."""
