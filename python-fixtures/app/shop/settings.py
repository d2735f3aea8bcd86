"""Settings of an ordinary Django project with Celery on kombu's filesystem broker: no server is needed."""
import json
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get('SHOP_VAR', BASE_DIR / 'var')).resolve()
for folder in ('broker', 'broker/control', 'broker/processed', 'results'):
    (VAR / folder).mkdir(parents=True, exist_ok=True)

SECRET_KEY = 'only-for-tests-and-the-demo'
DEBUG = False
ALLOWED_HOSTS = ['*']
INSTALLED_APPS = [
    'django.contrib.contenttypes',
    'django.contrib.auth',
    'django_celery_results',
    'django_celery_beat',
    'orders',
]
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': VAR / 'shop.sqlite3'}}
USE_TZ = True
TIME_ZONE = 'UTC'
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'
ROOT_URLCONF = 'shop.urls'

CELERY_BROKER_URL = os.environ.get('SHOP_BROKER_URL', 'filesystem://')
CELERY_BROKER_TRANSPORT_OPTIONS = json.loads(os.environ.get('SHOP_BROKER_OPTIONS', 'null')) or {
    'data_folder_in': str(VAR / 'broker'),
    'data_folder_out': str(VAR / 'broker'),
    'control_folder': str(VAR / 'broker' / 'control'),
    'processed_folder': str(VAR / 'broker' / 'processed'),
}
CELERY_RESULT_BACKEND = os.environ.get('SHOP_RESULT_BACKEND', f'file://{VAR}/results')
CELERY_TASK_TRACK_STARTED = True
CELERY_RESULT_EXTENDED = True
CELERY_TIMEZONE = 'UTC'
# Tasks that live in Node are consumed by the worker of that side from this queue.
CELERY_TASK_ROUTES = {'node.*': {'queue': 'node'}}
CELERY_WORKER_HIJACK_ROOT_LOGGER = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# What one test run wants otherwise, as JSON with CELERY_ names.
globals().update(json.loads(os.environ.get('SHOP_SETTINGS', '{}')))
