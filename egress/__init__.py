"""The one way out: the only code that opens a socket, and what it never does. No tables.

Callers use `egress.client`: `send`, `stream` and `check`. Each takes a whole URL and looks at it again, whoever wrote it.

- **Where to**: https on port 443 of a DNS name, every address of which is public (`addresses`). The connection goes to an address
  that was checked, not to a second answer of the resolver, and the peer is compared once connected. A name that does not resolve is
  refused. `EGRESS_ALLOW` (`host:port,…`) opens single targets to plain http, other ports and private addresses; it never
  opens link-local addresses, where clouds hand out their machines' credentials.
- **What is sent**: what the request says, and Host, length, Accept-Encoding and a User-Agent. No redirect is followed, nothing is
  tried twice, no cookie is kept, no proxy or netrc is read from the environment.
- **How long, how much**: 3 s for name, connection and TLS, 12 s for all, 1 MiB of body once decompressed (`Limits`). Sizes and
  times hold for a peer that sends one byte a second, too.
- **What comes back**: an answer of any status, or one `errors.EgressError`: `Refused` by policy, `Unreachable`, `Broken` half-way,
  `TooSlow`, `TooLarge`. Its text names the host and nothing else of the request or the answer; `sent` says whether the host may
  have seen the request, which is what a refresh must know before it may try again.

Connections are kept per host, bounded, and shared by the threads of a process; a forked process starts without any. A call
inside a database transaction is a mistake and raises RuntimeError: it would hold its locks for as long as a stranger likes.
"""
