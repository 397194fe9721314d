"""What the adapters that keep files share: threads for file work, errors, durable names."""
