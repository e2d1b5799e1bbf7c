"""What user code sees beside Python: names, helpers, other nodes, and the calls that these make."""
