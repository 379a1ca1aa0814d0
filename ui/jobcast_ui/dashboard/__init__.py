"""Dashboard: live figures of the server's own metrics page; nothing is invented, no data is shown as none."""
