"""What tests of the forms of a request share."""
