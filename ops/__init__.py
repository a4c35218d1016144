"""The command line, the embedded broker, import and demo."""
