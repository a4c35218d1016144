"""The table of routes: method, path, parameters, body, answers, codes, and the function that answers."""
