"""Pictures of everything that is simulated."""
