"""What each group may do. A later change of accounts/groups.py needs a migration like this one."""

from django.db import migrations

# App, model, codename, name, and the first group that has it; each group has those before it, too.
TABLE = [
    ("accounts", "account", "view_account", "Can view account", "Viewer"),
    ("connect", "authorizationattempt", "view_authorizationattempt", "Can view authorization attempt", "Viewer"),
    ("connect", "connectlink", "view_connectlink", "Can view connect link", "Viewer"),
    ("credentials", "credential", "view_credential", "Can view credential", "Viewer"),
    ("events", "event", "view_event", "Can view event", "Viewer"),
    ("oauth_apps", "oauthapp", "view_oauthapp", "Can view OAuth app", "Viewer"),
    ("providers", "customprovider", "view_customprovider", "Can view custom provider", "Viewer"),
    ("webhooks", "webhookdelivery", "view_webhookdelivery", "Can view webhook delivery", "Viewer"),
    ("webhooks", "webhookendpoint", "view_webhookendpoint", "Can view webhook endpoint", "Viewer"),
    ("connect", "connectlink", "add_connectlink", "Can add connect link", "Operator"),
    ("connect", "connectlink", "delete_connectlink", "Can delete connect link", "Operator"),
    ("credentials", "credential", "add_credential", "Can add credential", "Operator"),
    ("credentials", "credential", "change_credential", "Can change credential", "Operator"),
    ("credentials", "credential", "delete_credential", "Can delete credential", "Operator"),
    ("credentials", "credential", "export_credential", "Can export credentials", "Operator"),
    ("credentials", "credential", "import_credential", "Can import files of credentials", "Operator"),
    ("credentials", "credential", "rotate_credential", "Can give credentials new secrets", "Operator"),
    ("credentials", "credential", "use_credential", "Can check and refresh credentials", "Operator"),
    ("accounts", "apitoken", "add_apitoken", "Can add API token", "Custodian"),
    ("accounts", "apitoken", "change_apitoken", "Can change API token", "Custodian"),
    ("accounts", "apitoken", "view_apitoken", "Can view API token", "Custodian"),
    ("accounts", "session", "delete_session", "Can delete session", "Custodian"),
    ("accounts", "session", "view_session", "Can view session", "Custodian"),
    ("credentials", "credential", "reveal_credential", "Can see secrets", "Custodian"),
    ("oauth_apps", "oauthapp", "add_oauthapp", "Can add OAuth app", "Custodian"),
    ("oauth_apps", "oauthapp", "change_oauthapp", "Can change OAuth app", "Custodian"),
    ("oauth_apps", "oauthapp", "delete_oauthapp", "Can delete OAuth app", "Custodian"),
    ("providers", "customprovider", "add_customprovider", "Can add custom provider", "Custodian"),
    ("providers", "customprovider", "change_customprovider", "Can change custom provider", "Custodian"),
    ("webhooks", "webhookdelivery", "change_webhookdelivery", "Can change webhook delivery", "Custodian"),
    ("webhooks", "webhookendpoint", "add_webhookendpoint", "Can add webhook endpoint", "Custodian"),
    ("webhooks", "webhookendpoint", "change_webhookendpoint", "Can change webhook endpoint", "Custodian"),
    ("webhooks", "webhookendpoint", "delete_webhookendpoint", "Can delete webhook endpoint", "Custodian"),
]
ORDER = ["Viewer", "Operator", "Custodian"]


def grant(apps, schema_editor):
    """Django makes permissions only after all migrations, so those that are not there yet are made here."""
    content_type = apps.get_model("contenttypes", "ContentType")
    permission = apps.get_model("auth", "Permission")
    groups = [apps.get_model("auth", "Group").objects.get_or_create(name=n)[0] for n in ORDER]
    for app, model, codename, name, first in TABLE:
        kind, _ = content_type.objects.get_or_create(app_label=app, model=model)
        made, _ = permission.objects.get_or_create(
            content_type=kind, codename=codename, defaults={"name": name}
        )
        for group in groups[ORDER.index(first) :]:
            group.permissions.add(made)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_idempotency_record"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
