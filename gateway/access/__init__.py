"""Who may use a gateway: credentials, what they may do, how often, and from which pages."""
