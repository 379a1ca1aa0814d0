"""Who may ask what: keys, the gate that every protocol asks, TLS, and the record of what was refused or changed."""
