"""What entry points learn: the words by which a call is found, and the template that is followed then."""
