"""The page at `/docs`: Swagger UI, which shows the OpenAPI document and sends requests."""
