"""What takes minutes and shows little that smaller tests do not: `make faults` runs it, `make test` leaves it out."""
