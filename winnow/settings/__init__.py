"""Settings that a user writes into files: what they may say, and how a file is read."""
