"""The composed model: several frozen models run as one."""
