"""What came of each shown item, by the events that quote their recommendation."""
