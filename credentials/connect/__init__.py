"""Connect: a company's user approves at the provider, or enters a key, and gets a credential.

There are three flows. `/link/oauth2/authorize` and `start-auth` are the documented ones: they end
with a code, which the company's backend exchanges for a credential to import. A connect link is a
hosted page: its grant is stored encrypted until the company's backend completes it. docs/connect.md
draws all three.
"""
