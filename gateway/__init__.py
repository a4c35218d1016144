"""The HTTP gateway: it makes commands from requests and answers from results; availability comes from a local view."""
