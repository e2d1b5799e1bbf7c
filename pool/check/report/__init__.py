"""The forms of what was checked: for people, programs, code review, and to send on."""
