"""Models that stand beside policies: what they learn serves methods and data alike."""
