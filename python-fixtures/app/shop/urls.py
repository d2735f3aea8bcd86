from django.http import JsonResponse
from django.urls import path
from orders.tasks import place_order
from shop.celery import app


def order(request, number):
    """The view of the demo: saves the order and lets the Node worker charge it."""
    result = app.send_task('node.charge', args=[number], kwargs={'amount': 5})
    place_order.delay(number)
    return JsonResponse({'task': result.id})


urlpatterns = [path('orders/<str:number>/', order)]
