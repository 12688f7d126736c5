"""What breaks and what holds: killed processes, overload, hostile and slow clients."""
