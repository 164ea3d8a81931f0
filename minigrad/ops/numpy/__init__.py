"""NumPy functions that are compositions of ops: np.vstack([t, u]), np.median(t). A file a family."""
