"""Is the input well formed? One file for each blueprint; the rules themselves are the domain's."""
