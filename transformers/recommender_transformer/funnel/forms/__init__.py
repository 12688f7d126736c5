"""The forms of a request: what a request asks for, in the terms of the release, and the components that answer it."""
