"""The command line, the embedded broker, the imports and the demo."""
