"""The links to the brokers: one WebSocket each, what it owes, what its session says."""
