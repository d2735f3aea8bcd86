"""The Python side of the canvas tests: a worker's app, and with `drive` a client that builds canvases from JSON.

A canvas is {"k": "task", "lang", "fn", "tag", "im"?, "n"?, "with"?}, {"k": "chain", "steps"}, {"k": "group", "members"} or
{"k": "chord", "header", "body"}; each may have "err": a tag, for an error callback. Tasks are named <lang>.<fn>; with
CANVAS_LANGS="py,node" this worker runs those of both languages, which is how pure Celery is asked.
"""
import hashlib
import json
import os
import sys
import time

from celery import Celery, chain, chord, group
from celery.exceptions import Reject, TimeoutError
from celery.signals import worker_ready

here = os.environ
app = Celery('canvas', broker=here['CANVAS_BROKER'], backend=here['CANVAS_BACKEND'])
app.conf.update(
    broker_transport_options=json.loads(here.get('CANVAS_BROKER_OPTIONS', '{}')),
    task_routes={'py.*': {'queue': 'py'}, 'node.*': {'queue': 'node'}},
    task_default_queue='py',
    worker_hijack_root_logger=False,
    result_chord_retry_interval=0.1,
    broker_connection_retry_on_startup=True,
    **json.loads(here.get('CANVAS_SETTINGS', '{}')),
)
if here.get('CANVAS_COUNTDOWN'):
    # `celery.chord_unlock` waits a whole second before its first look.
    from celery.backends.base import Backend
    fallback = Backend.fallback_chord_unlock
    Backend.fallback_chord_unlock = lambda self, *args, **kw: fallback(self, *args, **{**kw, 'countdown': 0.1})


@worker_ready.connect
def tell(**_):
    print('worker is ready', flush=True)


def note(what, tag, id):
    line = json.dumps({'what': what, 'tag': tag, 'id': id}) + '\n'
    fd = os.open(here['CANVAS_LOG'], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line.encode())
    os.close(fd)


def short(value):
    """Values that have passed through many tasks grow without end; only what they are is of interest."""
    text = json.dumps(value, separators=(',', ':'))
    return value if len(text) <= 300 else [value[0], hashlib.sha1(text.encode()).hexdigest()]


def is_first(id):
    """True once for each id, whichever process asks."""
    try:
        os.close(os.open(here['CANVAS_LOG'] + '.' + id, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


def sig(lang, fn, *args, **options):
    return app.signature(f'{lang}.{fn}', args=args, **options)


def build(spec):
    kind = spec['k']
    if kind == 'task':
        args = (spec['with'],) if 'with' in spec else ()
        args += (spec['n'],) if 'n' in spec else ()
        made = sig(spec['lang'], spec['fn'], *args, spec['tag'], immutable=spec.get('im', False))
    elif kind == 'chain':
        made = chain(*[build(step) for step in spec['steps']])
    elif kind == 'group':
        made = group([build(member) for member in spec['members']])
    else:
        made = chord([build(member) for member in spec['header']], build(spec['body']))
    if 'err' in spec:
        made.link_error(sig(spec.get('errlang', 'py'), 'errback', spec['err']))
    return made


def define(lang):
    def task(name, **options):
        return app.task(name=f'{lang}.{name}', bind=True, **options)

    def value(self, args):
        note('run', args[-1], self.request.id)
        return short([args[-1], *args[:-1]])

    @task('mark')
    def mark(self, *args):
        return value(self, args)

    @task('fail')
    def fail(self, *args):
        note('run', args[-1], self.request.id)
        raise ValueError(args[-1])

    @task('flaky', max_retries=5)
    def flaky(self, *args):
        """Retries n times; n is the last argument but one. Celery sends the retry before it stores RETRY, and looks and
        writes in two steps: without a pause another thread's SUCCESS may be written over, and nobody waits to an end."""
        *rest, n, tag = args
        if self.request.retries < n:
            raise self.retry(countdown=0.2)
        return value(self, (*rest, tag))

    @task('twice')
    def twice(self, *args):
        """Sends its own message again before it returns, as a broker may."""
        if is_first(self.request.id):
            self.retry(countdown=0, throw=False)
        return value(self, args)

    @task('again', acks_late=True)
    def again(self, *args):
        """Goes back to the broker once."""
        if is_first(self.request.id):
            raise Reject('again', requeue=True)
        return value(self, args)

    @task('replaced')
    def replaced(self, *args):
        """Puts another canvas in its place; its description is the last argument but one."""
        *rest, spec, tag = args
        note('run', tag, self.request.id)
        return self.replace(build(spec))

    @task('add')
    def add(self, x, y):
        return x + y

    @task('tsum')
    def tsum(self, values):
        return sum(values)

    @task('identity')
    def identity(self, x):
        return x

    @task('ids')
    def ids(self, *_):
        return [self.request.root_id, self.request.parent_id, self.request.id]

    @task('errback')
    def errback(self, id, tag):
        note('errback', tag, id)

    return locals()


for language in here.get('CANVAS_LANGS', 'py').split(','):
    define(language)


def outcome(result, timeout):
    """Celery's client misses a result that is stored after it has looked and before Redis has its subscription
    (`ResultConsumer`); each wait begins with a look, so a few short ones see it."""
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        try:
            return {'value': result.get(timeout=min(5, max(left, 0.1)), interval=0.05)}
        except Exception as exc:
            if isinstance(exc, TimeoutError) and left > 0:
                continue
            stored = [] if left > 0 else [str(app.backend.get(app.backend.get_key_for_task(result.id)))]
            return {'error': type(exc).__name__, 'args': [str(a) for a in exc.args] + stored}


def send(spec):
    return build(spec).apply_async()


def drive(send=send, outcome=outcome):
    """Reads {"specs", "timeout"} from each line, sends them all, and answers how they ended."""
    print(json.dumps({'ready': True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            results = []
            for spec in request['specs']:
                try:
                    results.append(send(spec))
                except Exception as exc:
                    results.append(exc)
            answers = [
                {'refused': f'{type(r).__name__}: {r}'} if isinstance(r, Exception) else outcome(r, request['timeout'])
                for r in results
            ]
            print(json.dumps({'answers': answers}), flush=True)
        except Exception as exc:
            print(json.dumps({'failed': f'{type(exc).__name__}: {exc}'}), flush=True)


if __name__ == '__main__':
    drive()
