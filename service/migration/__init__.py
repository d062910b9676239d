"""Moves between a vendor and this service over the vendor's own API: `polystow migrate`."""
