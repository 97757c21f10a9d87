"""The faces for stock Jupyter: the kernel provisioner, and the bridge for clients that know no provisioners."""
