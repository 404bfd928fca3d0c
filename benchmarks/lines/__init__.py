"""One file a group of lines; each has `lines(settings)`, which measures and yields them one by one."""
