"""The switch's language: fields, tables, flows, and what to send.  It knows no DOVE and no Ryu, and does no I/O."""
