"""What each ability promises: request, result and event, declared once and used everywhere."""
