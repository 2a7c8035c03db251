"""What people see of a recording, one file a noun. Functions from entries to something that rich can print."""
