"""Connect: a company's user approves at the provider, or types a key, and a credential is there.

Three ways in, one core. `/link/oauth2/authorize` and `start-auth` are the documented flows: they
end with a code that the company's backend exchanges for a credential to import. A connect link is
a hosted page: its credential waits, sealed, until the company's backend completes it.
docs/connect.md draws all three.
"""
