"""How both sides of a kernel learn its ports and keys, and how this host reaches them."""
