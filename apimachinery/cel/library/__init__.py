"""The function libraries of Kubernetes' environments, one file each: OVERLOADS with their implementations."""
