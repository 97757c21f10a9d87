# For all kernels of this host. Place it in a folder that `jupyter --paths` lists under "config".
c = get_config()  # noqa: F821

# Who
c.RemoteKernelSettings.authorized_users = ["ada", "grace"]
c.RemoteKernelSettings.prohibited_uids = [0]

# What a client may ask for, and how much of it
c.RemoteKernelSettings.client_parameters = ["image"]
c.RemoteKernelSettings.maxima = {"memory": "64Gi", "cpus": 8, "launch_timeout": 300}
c.RemoteKernelSettings.allowed_values = {"image": ["quay.io/acme/*", "quay.io/jupyter/*"]}

# Variants that clients without a form can choose
c.RemoteKernelSettings.profiles = {
    "local/python3": {
        "patient": {"display_name": "Python 3, patient", "parameters": {"launch_timeout": 300}},
    },
}

# How
c.RemoteKernelSettings.transport_encryption = "required"
c.RemoteKernelSettings.launch_timeout = 60
c.RemoteKernelSettings.port_range = "33000..34000"
