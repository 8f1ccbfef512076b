"""What failures mean: which of them are alike, and which are a server's fault rather than a build's."""
