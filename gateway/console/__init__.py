"""The console: a page for operators, made of plain modules and served by the gateway itself."""
