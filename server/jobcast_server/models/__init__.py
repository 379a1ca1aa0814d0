"""`jobcast models`: looks after a repository of bundles on disk. It needs no server, and only `rollback` writes."""
