"""The arithmetic of a merge: from open sources to merged tensors, in place or one by one."""
