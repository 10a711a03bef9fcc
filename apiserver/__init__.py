"""The API server: from an HTTP request to a durable object and back."""
