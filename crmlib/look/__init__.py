"""How it looks: words, tables and charts, in one place."""
