from django.urls import path

from credentials.api.health_views import CheckView, HealthChangesView, ReportView

urlpatterns = [
    path("credentials/<str:pk>/check", CheckView.as_view()),
    path("credentials/<str:pk>/report", ReportView.as_view()),
    path("credentials/<str:pk>/health-changes", HealthChangesView.as_view()),
]
