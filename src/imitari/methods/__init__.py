"""Methods, one file each, on shelves: the folder is the registry."""
