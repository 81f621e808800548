"""Where py_vollib keeps its exceptions, for the imports that name it."""
