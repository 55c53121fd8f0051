"""What serves a request: programs of segments, and the Python that is called between them."""
