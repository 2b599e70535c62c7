from django.urls import path

from accounts.views import LoginView, LogoutView, StatusView

urlpatterns = [
    path("auth/login", LoginView.as_view()),
    path("auth/logout", LogoutView.as_view()),
    path("auth/status", StatusView.as_view()),
]
