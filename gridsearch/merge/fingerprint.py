def fingerprint(tensors):
    return "0"
