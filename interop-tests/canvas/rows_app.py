"""The Python side of canvas-rows.test.ts: what src/worker/canvas-row-tasks.conformance.ts has, and a client that builds
the canvases of src/worker/canvas-rows.conformance.ts from JSON."""

from celery import chain, chord, group
from celery.exceptions import Ignore, TimeoutError
from celery.result import AsyncResult

from canvas_app import app, drive, here, is_first, note as write



def note(tag, id):
    write('run', tag, id)


def define(lang):
    other = 'node' if lang == 'py' else 'py'

    def sig(name, *args, **kwargs):
        return app.signature(f'{other}.{name}', args=args, kwargs=kwargs)

    def isig(name, *args, **kwargs):
        return app.signature(f'{other}.{name}', args=args, kwargs=kwargs, immutable=True)

    def task(run=None, **options):
        if run is None:
            return lambda f: task(f, **options)
        name = f'{lang}.{run.__name__}'
        app.tasks.pop(name, None)  # of canvas_app, which has others of the same names
        return app.task(name=name, bind=True, **options)(run)

    def tell(self, id=None):
        tag = self.request.kwargs.get('tag')
        if tag is not None:
            note(tag, id or self.request.id)

    @task
    def add(self, x, y, z=None):
        return x + y + z if z else x + y

    @task(ignore_result=True)
    def add_quiet(self, x, y):
        return x + y

    @task
    def identity(self, x, *_, tag=None):
        tell(self)
        return x

    @task
    def tsum(self, numbers):
        return sum(numbers)

    @task
    def boom(self, *args, tag=None):
        tell(self)
        raise ValueError('deliberate')

    @task
    def boom_replaced(self, *args):
        raise self.replace(sig('boom'))

    @task
    def add_replaced(self, x, y):
        raise self.replace(sig('add', x, y))

    @task
    def add_to_all(self, numbers, value):
        raise self.replace(group([sig('add', one, value) for one in numbers]))

    @task
    def add_to_all_to_chord(self, numbers, value):
        for one in numbers:
            self.add_to_chord(sig('add', one, value))
        return 0

    @task
    def add_chord_to_chord(self, numbers, value):
        self.add_to_chord(group([sig('add', one, value) for one in numbers]) | sig('tsum'))
        return 0

    @task
    def replace_with_chain(self, *args, tag=None):
        made = chain(sig('identity', *args), sig('identity'))
        if tag is not None:
            made.link(isig('echo', tag=tag))
        return self.replace(made)

    @task
    def replace_raises(self, *args, tag=None):
        made = chain(sig('identity', *args), sig('boom'))
        made.link_error(isig('echo', tag=tag))
        return self.replace(made)

    @task
    def replace_empty(self, *_):
        return self.replace(chain())

    @task
    def ids(self, i):
        return self.request.root_id, self.request.parent_id, i

    @task
    def collect_ids(self, res, i):
        return res, (self.request.root_id, self.request.parent_id, i)

    @task
    def echo(self, *args, tag=None):
        tell(self)
        return len(args)

    @task
    def err(self, id, *args, tag=None):
        tell(self, id)

    @task
    def group_id(self, *args, tag=None):
        tell(self, self.request.group)

    @task
    def priority(self, *args):
        return self.request.delivery_info['priority']

    @task
    def stamps(self, *args):
        return [*args, self.request.stamps]

    @task
    def stamps_retried(self, *args):
        if not self.request.retries:
            raise self.retry(countdown=0)
        return self.request.stamps

    @task
    def stamps_replaced(self, *args):
        inner = sig('stamps')
        inner.stamp(inner='yes')
        return self.replace(inner)

    @task
    def fan(self, *args):
        group([sig('stamps'), sig('stamps')]).apply_async()
        return list(self.request.stamps or {})

    @task
    def retried(self, value):
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return value

    @task
    def ignoring(self, *args):
        raise Ignore()

    @task
    def doubled(self, value):
        if is_first(self.request.id):
            self.retry(countdown=0, throw=False)
        return value

    @task
    def outer(self, state, *, tag=None):
        note(f'{tag} {"out" if state else "in"} A', '')
        if not state:
            raise self.replace(chain(isig('inner', False, tag=tag), isig('outer', True, tag=tag)))

    @task
    def inner(self, state, *, tag=None):
        note(f'{tag} {"out" if state else "in"} B', '')
        if not state:
            raise self.replace(chain(isig('echo', tag=f'{tag} C'), isig('inner', True, tag=tag)))


def build(node):
    made = unlinked(node)
    for one in node.get('link', ()):
        made.link(build(one))
    for one in node.get('err', ()):
        made.link_error(build(one))
    if 'stamp' in node:
        made.stamp(**node['stamp'])
    return made


def unlinked(node):
    def all(nodes):
        return [build(one) for one in nodes]

    if 'task' in node:
        kwargs = dict(node.get('kwargs', {}))
        if 'tag' in node:
            kwargs['tag'] = node['tag']
        return app.signature(
            f"{node['lang']}.{node['task']}", args=tuple(node.get('args', ())), kwargs=kwargs,
            options=dict(node.get('options', {})), immutable=node.get('si', False),
        )
    if 'pipe' in node:
        first, *rest = all(node['pipe'])
        for one in rest:
            first = first | one
        return first
    if 'chain' in node:
        return chain(*all(node['chain']))
    if 'list' in node:
        return chain(all(node['list']))
    if 'group' in node:
        return group(all(node['group']))
    if 'chunks' in node:
        task = app.tasks[f"{node['chunks']['lang']}.{node['chunks']['task']}"]
        return task.chunks([tuple(one) for one in node['it']], node['n']).group()
    header = node['header']
    return chord(all(header) if isinstance(header, list) else build(header), build(node['body']))


def send(row):
    app.conf.task_allow_error_cb_on_chord_header = row.get('flag', False)
    call = dict(row.get('call') or {})
    return build(row['canvas']).apply_async(**call)


def outcome(result, timeout):
    tree = result.as_tuple()
    try:
        value = result.get(timeout=timeout, interval=0.05)
        return {'value': value, 'tree': tree, 'children': [one.as_tuple() for one in result.children or ()]}
    except Exception as exc:
        answer = {'error': type(exc).__name__, 'args': [str(a) for a in exc.args], 'tree': tree}
        return {**answer, **stored_error(result)}


def stored_error(result):
    """The client may have been told by a parent, before the last task has failed."""
    if not isinstance(result, AsyncResult):
        return {}
    try:
        error = result.get(timeout=10, interval=0.05, propagate=False)
    except TimeoutError:
        return {}
    return {'stored': [type(error).__name__, *error.args]} if isinstance(error, Exception) else {}



for language in here.get('CANVAS_LANGS', 'py,node').split(','):
    define(language)

if __name__ == '__main__':
    drive(send, outcome)
