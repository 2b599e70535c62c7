"""A database that went back in time: a restored backup, or a failover that lost commits.

The provider may have replaced any grant that was refreshed since. Using an old one makes a strict
provider revoke the whole grant. So nothing is refreshed before this is recognised (`recognition`),
and the grants in question wait until a person decides (`services`).
"""
