"""What operators see: logs, metrics, health endpoint, Sentry."""
