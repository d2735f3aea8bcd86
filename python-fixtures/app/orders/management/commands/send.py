"""Sends tasks to the Node worker, as any Django code would, and prints their results."""
from django.core.management.base import BaseCommand
from shop.celery import app


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument('--timeout', type=float, default=30)

    def handle(self, timeout, **_):
        tasks = [
            ('node.add', app.send_task('node.add', args=[2, 3])),
            ('node.charge', app.send_task('node.charge', kwargs={'orderId': 'o-7', 'amount': 12})),
        ]
        for name, result in tasks:
            print(f'django -> node  {name}  {result.get(timeout=timeout)!r}', flush=True)
        failing = app.send_task('node.fail', args=['no such order'])
        try:
            failing.get(timeout=timeout)
        except TypeError as exc:
            print(f'django -> node  node.fail raised a real TypeError here: {exc}', flush=True)
