"""An evaluation that never took place, for tests of its report."""
