"""What all pages of the explorer share: settings, security, templates, clients, and what a release knows of an item."""
