"""Users that are gone, erased or merged: how they are remembered without their data."""
