"""Towards the switches: the Ryu framework, its command, the connections, OpenFlow bytes and OVSDB."""
