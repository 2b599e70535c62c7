"""Webhooks: endpoints of the customer's programs, and the deliveries to them.

A service calls `changes.record_change` in its own transaction, so a delivery exists if and only if
the change that it reports was made. `delivery` sends the deliveries: signed (Standard Webhooks), in
order for each object, and again for three days if they fail.
"""
