"""Requests that nobody means to send: whatever comes, the service answers as it says it does."""
