"""Item hydrators: the features of the candidates."""
