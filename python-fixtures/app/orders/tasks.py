"""What the Python worker can do: each task shows one thing that has to work from Node."""
import time

from celery import shared_task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from .models import Order


class PaymentError(Exception):
    """An error class of the application, unknown on the other side."""


@shared_task(name='py.add')
def add(x, y):
    return x + y


@shared_task(name='py.echo')
def echo(*args, **kwargs):
    """What came in, and what Python took it for."""
    return {
        'args': list(args),
        'kwargs': kwargs,
        'reprs': [repr(a) for a in args],
        'types': [type(a).__name__ for a in args],
        'kwtypes': {k: type(v).__name__ for k, v in kwargs.items()},
    }


@shared_task(name='py.returns')
def returns(source):
    """Evaluates a literal of a few known types: what typed results look like on the other side."""
    import datetime
    import decimal
    import uuid

    return eval(source, {'datetime': datetime, 'Decimal': decimal.Decimal, 'UUID': uuid.UUID})  # noqa: S307


@shared_task(name='py.resize')
def resize(path, width=None, height=None):
    return f'{path}@{width}x{height}'


@shared_task(name='py.fail')
def fail(kind='ValueError'):
    if kind == 'PaymentError':
        raise PaymentError('card refused', 402)
    if kind == 'KeyError':
        raise KeyError('missing')
    raise ValueError('boom', 42, 'a')


@shared_task(name='py.flaky', bind=True, max_retries=5)
def flaky(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=0.2, exc=RuntimeError(f'attempt {self.request.retries}'))
    return {'retries': self.request.retries, 'id': self.request.id}


@shared_task(name='py.auto', bind=True, autoretry_for=(ConnectionError,), retry_backoff=1, retry_backoff_max=1,
             retry_jitter=False, max_retries=2)
def auto(self, times):
    if self.request.retries < times:
        raise ConnectionError(f'attempt {self.request.retries}')
    return self.request.retries


@shared_task(name='py.progress', bind=True)
def progress(self, steps, wait=0.3):
    for step in range(steps):
        self.update_state(state='PROGRESS', meta={'done': step, 'total': steps})
        time.sleep(wait)
    return 'done'


@shared_task(name='py.request', bind=True)
def request(self, *args, **kwargs):
    """The parts of the request that must cross from the sender."""
    r = self.request
    return {
        'id': r.id, 'root_id': r.root_id, 'parent_id': r.parent_id, 'headers': r.headers, 'retries': r.retries,
        'eta': r.eta, 'expires': r.expires, 'timelimit': r.timelimit, 'argsrepr': r.argsrepr,
        'kwargsrepr': r.kwargsrepr, 'origin': r.origin, 'shadow': r.shadow, 'ignore_result': r.ignore_result,
        'correlation_id': r.correlation_id, 'reply_to': bool(r.reply_to), 'priority': r.delivery_info.get('priority'),
        'delivery_info': r.delivery_info, 'stamps': r.stamps, 'stamped_headers': r.stamped_headers,
        'group': r.group, 'lang': getattr(r, 'lang', None),
    }


@shared_task(name='py.parent', bind=True)
def parent(self, child, queue):
    """Sends another task, anywhere, and says what it sent."""
    result = self.app.send_task(child, args=[1, 2], queue=queue)
    return {'id': self.request.id, 'root_id': self.request.root_id, 'child': result.id}


@shared_task(name='py.sleep')
def sleep(seconds):
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        return 'soft limit seen'
    return 'slept'


@shared_task(name='py.quiet', ignore_result=True)
def quiet(mark):
    Order.objects.update_or_create(number=mark, defaults={'paid': True})


@shared_task(name='py.ignore')
def ignore():
    raise Ignore()


@shared_task(name='py.reject', acks_late=True)
def reject():
    raise Reject('no', requeue=False)


@shared_task(name='py.place_order')
def place_order(number):
    Order.objects.get_or_create(number=number)
    return number


@shared_task(name='py.on_error')
def on_error(task_id):
    """An errback of the old style: it is sent the id of the task that failed."""
    Order.objects.get_or_create(number=f'failed:{task_id}')


@shared_task(name='py.has_order')
def has_order(number):
    return Order.objects.filter(number=number).exists()


@shared_task(name='py.total')
def total(values):
    return sum(values)


@shared_task(name='py.count')
def count(values):
    return len(values)
