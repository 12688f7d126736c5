"""The filter language: conditions on the catalog's columns, compiled to masks of items."""
