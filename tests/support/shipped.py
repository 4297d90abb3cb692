"""The handlers that ship with the service."""

SHIPPED = [
    "alert_delivery",
    "database_function",
    "edge_function",
    "email",
    "event_reminder",
    "log",
    "meeting_status",
    "noop",
    "notification",
    "queue_message",
    "sms",
    "webhook",
]
