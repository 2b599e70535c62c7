"""Health of credentials and OAuth apps: evidence comes in, a status with its reasons comes out.

`state_machine` has the rules, without tables. `services` is the only writer. Probes are in
`credentials.probing`, the mail to owners in `credentials.notifications`.
"""
