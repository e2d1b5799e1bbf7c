"""The trusted side of Reptarium: links to brokers, session, warm worker pool, commands."""
