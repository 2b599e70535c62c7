"""Credentials: imported or connected, listed, refreshed, probed and used, over two APIs and the admin.

The sub-packages are layers. Each imports only from those below it; import-linter checks it.

    admin/           pages for staff
    management/      commands
    api/             REST API: views, serializers, filters; fishnet/ is the second documented API
    notifications/   e-mails to owners and staff
    connect/         OAuth flows and connect links
    proxy/           HTTP proxy that puts a credential on a request
    services/        everything that can happen to a credential: the only writers of its row
    revocation/      revokes grants at their provider after a delete
    probing/         asks providers whether credentials work
    imports/         validates, merges and upserts import bodies and files
    refresh/         access tokens: lease, call, outcome, schedule
    restore/         a database that went back in time: grants that wait for a person
    health/          evidence, and the status that follows from it
    core/            queries, locks, last use, authentication of requests
    models.py        the tables

`docs/architecture.md` has the picture, and answers "Where is ...?".
"""
