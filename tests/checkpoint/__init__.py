"""Checkpoints under kills, damage, hostile files, full disks, and what they must keep."""
