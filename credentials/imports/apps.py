from django.apps import AppConfig


class ImportPageConfig(AppConfig):
    name = "credentials.imports"
    label = "import_page"
    verbose_name = "Import page"
