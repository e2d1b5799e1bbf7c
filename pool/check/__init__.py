"""``reptarium check``: which Python Code nodes of exports will run, what they need, and what runs otherwise."""
