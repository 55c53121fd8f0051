"""What operators record, as data: learnt from a call, evaluated where nothing is to be recorded, with constants kept."""
