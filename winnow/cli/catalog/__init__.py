"""What the commands of ``winnow items`` have in common: many calls in flight, ids from arguments or a file."""
