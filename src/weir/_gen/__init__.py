"""The RPC contract in Python. Made by tools/gen_proto.py from proto/; do not edit."""
