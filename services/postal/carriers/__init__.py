"""Carriers: what each calls its statuses, how orders are placed with one, and how its messages come in."""

from services.postal.carriers.maps import StatusMap, status_map
from services.postal.carriers.protocol import BadSignature, Booked, Carrier, CarrierEvent, Order
from services.postal.carriers.vnpost import VnpostCarrier

__all__ = ["BadSignature", "Booked", "Carrier", "CarrierEvent", "Order", "StatusMap", "VnpostCarrier", "status_map"]
