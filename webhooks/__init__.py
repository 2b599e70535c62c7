"""Telling others: endpoints of the company's own programs, and what is to be delivered to them.

A service calls `services.tell` in its own transaction, so that a delivery is there if and only if what it tells of happened.
`delivery` sends them: signed (Standard Webhooks), in order for each object, again and again for three days.
"""
