from django.apps import AppConfig


class ImportPageConfig(AppConfig):
    name = "credentials.import_page"
    label = "import_page"
    verbose_name = "Import page"
