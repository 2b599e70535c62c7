from django.urls import path

from providers.views import ProviderListView, ProviderView

urlpatterns = [
    path("providers", ProviderListView.as_view()),
    path("providers/<str:slug>", ProviderView.as_view()),
]
