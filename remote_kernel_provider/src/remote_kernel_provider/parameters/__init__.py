"""From what the defaults, the spec, the operator and the client say to one frozen `LaunchParameters`."""
