"""The worker pool: the zygote's process, warm workers, a worker's socket and pidfd, the watchdog."""
