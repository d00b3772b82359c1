"""Calls: a talking head in a few kilobits a second, as a stream of packets or as a file."""
