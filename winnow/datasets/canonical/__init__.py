"""The canonical tables of a data set: columns, types, checks and the report of what does not fit."""
