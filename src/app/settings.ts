/**
 * Every setting of Celery, in one table by Celery's own names (`celery/app/defaults.py`; surface CFG rows).
 *
 * Rule 1: the table is the only place that names a setting. The camelCase types, the defaults, the old spellings, the
 *         environment and the documentation are made from it; `interop-tests/settings.test.ts` compares it with the
 *         running Celery.
 * Rule 2: units are Celery's: seconds, where the help does not say otherwise.
 * Rule 3: null is Python's None, and a value of its own wherever it is the default.
 */
import { type Setting, setting } from './setting.js'

/** The 194 settings of Celery 5.6.3 and the four that its main branch adds, in Celery's order. */
export const settingsTable = {
  accept_content: setting.list(
    ['json'],
    'Serializer names or MIME types that are accepted for task messages.',
    { old: ['CELERY_ACCEPT_CONTENT'] },
  ),
  result_accept_content: setting.list(
    null,
    'Serializer names or MIME types accepted for results; null means accept_content.',
  ),
  enable_utc: setting.bool(true, 'Dates in messages carry UTC; off means the local or configured zone.'),
  imports: setting.list([], 'Modules that a worker imports at start.', {
    old: ['CELERY_IMPORTS'],
    python: 'names Python modules to import',
  }),
  include: setting.list([], 'Further modules with tasks.', {
    old: ['CELERY_INCLUDE'],
    python: 'names Python modules to import',
  }),
  timezone: setting.text(
    null,
    'IANA zone in which dates are shown and beat schedules are read; null means UTC, or local time without enable_utc.',
    { old: ['CELERY_TIMEZONE'] },
  ),

  beat_max_loop_interval: setting.float(
    0,
    'Longest sleep of beat between two checks, in seconds; 0 lets the scheduler choose.',
    { old: ['CELERYBEAT_MAX_LOOP_INTERVAL'] },
  ),
  beat_schedule: setting.dict({}, 'Entries of the periodic schedule, by name.', {
    old: ['CELERYBEAT_SCHEDULE'],
  }),
  beat_scheduler: setting.text('celery.beat:PersistentScheduler', 'Class of the scheduler.', {
    old: ['CELERYBEAT_SCHEDULER'],
    python: 'names a Python class',
  }),
  beat_schedule_filename: setting.text(
    'celerybeat-schedule',
    "Path of the file that keeps the schedule's last runs.",
    { old: ['CELERYBEAT_SCHEDULE_FILENAME'] },
  ),
  beat_sync_every: setting.int(0, 'Save the schedule after this many tasks sent; 0 saves by time alone.', {
    old: ['CELERYBEAT_SYNC_EVERY'],
  }),
  beat_cron_starting_deadline: setting.int(
    null,
    'Greatest lateness in seconds at which a missed crontab run is still started.',
    { old: ['CELERYBEAT_CRON_STARTING_DEADLINE'] },
  ),

  broker_url: setting.urls(
    null,
    'URL of the broker; a list, or several joined by semicolons, is tried in turn.',
  ),
  broker_read_url: setting.urls(null, 'URL for consuming; null means broker_url.'),
  broker_write_url: setting.urls(null, 'URL for publishing; null means broker_url.'),
  broker_transport: setting.text(
    null,
    'Name of the transport when the URL is given in parts (broker_host and so on).',
  ),
  broker_transport_options: setting.dict(
    {},
    "Options of the transport by kombu's names, such as visibility_timeout or data_folder_in.",
  ),
  broker_connection_timeout: setting.float(4, 'Seconds in which a connection to the broker must be made.'),
  broker_connection_retry: setting.bool(true, 'Connect again after the broker was lost.'),
  broker_connection_retry_on_startup: setting.bool(
    null,
    'Try again when the first connection fails; null means broker_connection_retry.',
  ),
  broker_connection_max_retries: setting.intOrNull(
    100,
    'Attempts to connect again; null or 0 means no limit.',
  ),
  broker_channel_error_retry: setting.bool(false, 'Connect again after errors of a channel too.'),
  broker_failover_strategy: setting.text(
    null,
    'How the next of several broker URLs is chosen: round-robin or shuffle.',
  ),
  broker_heartbeat: setting.intOrNull(120, 'Seconds between AMQP heartbeats; 0 turns them off.'),
  broker_heartbeat_checkrate: setting.int(3, 'Heartbeats are checked this many times per interval.'),
  broker_login_method: setting.text(null, 'AMQP login: PLAIN, AMQPLAIN or EXTERNAL.'),
  broker_native_delayed_delivery_queue_type: setting.text(
    'quorum',
    'Type of the celery_delayed queues: quorum or classic.',
  ),
  broker_pool_limit: setting.intOrNull(
    10,
    'Most connections that a client holds for publishing; null or 0 opens one for each publish.',
  ),
  broker_pool_acquire_timeout: setting.float(
    null,
    'Seconds to wait for a connection of the pool; null waits as long as the publish may take.',
    { since: 'main' },
  ),
  broker_use_ssl: setting.boolOrDict(
    false,
    'TLS options of the broker connection, or true for the defaults.',
  ),
  broker_host: setting.text(null, 'Host of the broker, when it is not given as a URL.'),
  broker_port: setting.int(null, 'Port of the broker, when it is not given as a URL.'),
  broker_user: setting.text(null, 'User at the broker, when it is not given as a URL.'),
  broker_password: setting.text(null, 'Password at the broker, when it is not given as a URL.'),
  broker_vhost: setting.text(null, 'Virtual host at the broker, when it is not given as a URL.'),

  cache_backend: setting.text(null, 'Memcached URL or Django cache alias of the cache backend.', {
    old: ['CELERY_CACHE_BACKEND'],
  }),
  cache_backend_options: setting.dict({}, 'Options of the cache backend.', {
    old: ['CELERY_CACHE_BACKEND_OPTIONS'],
  }),

  cassandra_entry_ttl: setting.float(null, 'Cassandra backend: seconds that a result is kept.'),
  cassandra_keyspace: setting.text(null, 'Cassandra backend: keyspace.'),
  cassandra_port: setting.text(null, 'Cassandra backend: port.'),
  cassandra_read_consistency: setting.text(null, 'Cassandra backend: read consistency.'),
  cassandra_servers: setting.list(null, 'Cassandra backend: hosts.'),
  cassandra_bundle_path: setting.text(null, 'Cassandra backend: path of the secure connect bundle.'),
  cassandra_table: setting.text(null, 'Cassandra backend: table.'),
  cassandra_write_consistency: setting.text(null, 'Cassandra backend: write consistency.'),
  cassandra_auth_provider: setting.text(null, 'Cassandra backend: class that logs in.', {
    python: 'names a Python class',
  }),
  cassandra_auth_kwargs: setting.text(null, 'Cassandra backend: arguments of the class that logs in.', {
    python: 'configures a Python class',
  }),
  cassandra_options: setting.dict({}, 'Cassandra backend: options of the driver.'),

  s3_access_key_id: setting.text(null, 'S3 backend: access key id.'),
  s3_secret_access_key: setting.text(null, 'S3 backend: secret access key.'),
  s3_bucket: setting.text(null, 'S3 backend: bucket (required).'),
  s3_base_path: setting.text(null, 'S3 backend: prefix of keys.'),
  s3_endpoint_url: setting.text(null, 'S3 backend: URL of the service when it is not AWS.'),
  s3_region: setting.text(null, 'S3 backend: region.'),

  azureblockblob_container_name: setting.text('celery', 'Azure backend: container.'),
  azureblockblob_retry_initial_backoff_sec: setting.int(
    2,
    'Azure backend: first wait before a retry, in seconds.',
  ),
  azureblockblob_retry_increment_base: setting.int(2, 'Azure backend: growth of the waits.'),
  azureblockblob_retry_max_attempts: setting.int(3, 'Azure backend: most attempts.'),
  azureblockblob_base_path: setting.text('', 'Azure backend: prefix of keys.'),
  azureblockblob_connection_timeout: setting.int(20, 'Azure backend: seconds to connect.'),
  azureblockblob_read_timeout: setting.int(120, 'Azure backend: seconds to read.'),

  gcs_bucket: setting.text(null, 'Google Cloud Storage backend: bucket.'),
  gcs_project: setting.text(null, 'Google Cloud Storage backend: project.'),
  gcs_base_path: setting.text('', 'Google Cloud Storage backend: prefix of keys.'),
  gcs_ttl: setting.float(0, 'Google Cloud Storage backend: seconds that a result is kept; 0 keeps it.'),

  control_queue_ttl: setting.float(300, "Seconds that a remote control message waits in a worker's queue."),
  control_queue_expires: setting.float(10, 'Seconds after which an unused remote control queue is deleted.'),
  control_queue_exclusive: setting.bool(
    false,
    'Remote control queues belong to one connection; not together with control_queue_durable.',
  ),
  control_queue_durable: setting.bool(false, 'Remote control queues outlive the broker.'),
  control_exchange: setting.text('celery', 'Start of the names of the remote control exchanges.'),

  couchbase_backend_settings: setting.dict(null, 'Couchbase backend: host, bucket and so on.', {
    old: ['CELERY_COUCHBASE_BACKEND_SETTINGS'],
  }),

  arangodb_backend_settings: setting.dict(null, 'ArangoDB backend: host, database and so on.', {
    old: ['CELERY_ARANGODB_BACKEND_SETTINGS'],
  }),

  mongodb_backend_settings: setting.dict(
    null,
    'MongoDB backend: host, port, user, password, database, taskmeta_collection, groupmeta_collection, max_pool_size, options.',
    { old: ['CELERY_MONGODB_BACKEND_SETTINGS'] },
  ),

  cosmosdbsql_database_name: setting.text('celerydb', 'CosmosDB backend: database.'),
  cosmosdbsql_collection_name: setting.text('celerycol', 'CosmosDB backend: collection.'),
  cosmosdbsql_consistency_level: setting.text('Session', 'CosmosDB backend: consistency level.'),
  cosmosdbsql_max_retry_attempts: setting.int(9, 'CosmosDB backend: most attempts.'),
  cosmosdbsql_max_retry_wait_time: setting.int(30, 'CosmosDB backend: most seconds to wait in all.'),

  event_queue_expires: setting.float(60, 'Seconds after which an unused event queue is deleted.', {
    old: ['CELERY_EVENT_QUEUE_EXPIRES'],
  }),
  event_queue_ttl: setting.float(5, 'Seconds that an event waits in a queue.', {
    old: ['CELERY_EVENT_QUEUE_TTL'],
  }),
  event_queue_prefix: setting.text('celeryev', 'Start of the names of event queues.', {
    old: ['CELERY_EVENT_QUEUE_PREFIX'],
  }),
  event_queue_exclusive: setting.bool(false, 'Event queues belong to one connection.', {
    old: ['CELERY_EVENT_QUEUE_EXCLUSIVE'],
  }),
  event_queue_durable: setting.bool(false, 'Event queues outlive the broker.', {
    old: ['CELERY_EVENT_QUEUE_DURABLE'],
  }),
  event_serializer: setting.text('json', 'Serializer of events.', { old: ['CELERY_EVENT_SERIALIZER'] }),
  event_exchange: setting.text('celeryev', 'Exchange to which events are sent.', {
    old: ['CELERY_EVENT_EXCHANGE'],
  }),

  redis_backend_use_ssl: setting.dict(
    null,
    "Redis backend: TLS options by redis-py's names (ssl_cert_reqs, ssl_ca_certs, ssl_certfile, ssl_keyfile).",
    { old: ['CELERY_REDIS_BACKEND_USE_SSL'] },
  ),
  redis_db: setting.int(null, 'Redis backend: database number when the URL has none.', {
    old: ['CELERY_REDIS_DB'],
  }),
  redis_host: setting.text(null, 'Redis backend: host.', { old: ['CELERY_REDIS_HOST'] }),
  redis_max_connections: setting.int(null, 'Redis backend: most connections.', {
    old: ['CELERY_REDIS_MAX_CONNECTIONS'],
  }),
  redis_username: setting.text(null, 'Redis backend: user.', { old: ['CELERY_REDIS_USERNAME'] }),
  redis_password: setting.text(null, 'Redis backend: password.', { old: ['CELERY_REDIS_PASSWORD'] }),
  redis_port: setting.int(null, 'Redis backend: port.', { old: ['CELERY_REDIS_PORT'] }),
  redis_socket_timeout: setting.float(120, 'Redis backend: seconds in which a command must be answered.', {
    old: ['CELERY_REDIS_SOCKET_TIMEOUT'],
  }),
  redis_socket_connect_timeout: setting.float(null, 'Redis backend: seconds in which to connect.', {
    old: ['CELERY_REDIS_SOCKET_CONNECT_TIMEOUT'],
  }),
  redis_retry_on_timeout: setting.bool(false, 'Redis backend: repeat a command that timed out.', {
    old: ['CELERY_REDIS_RETRY_ON_TIMEOUT'],
  }),
  redis_socket_keepalive: setting.bool(false, 'Redis backend: TCP keepalive.', {
    old: ['CELERY_REDIS_SOCKET_KEEPALIVE'],
  }),

  result_backend: setting.text(null, 'URL or alias of the store of results; null keeps none.', {
    old: ['CELERY_RESULT_BACKEND'],
  }),
  result_cache_max: setting.intOrNull(
    -1,
    'Results that a client remembers; -1 none, null or 0 without limit.',
    {
      old: ['CELERY_MAX_CACHED_RESULTS'],
    },
  ),
  result_compression: setting.text(null, 'Has no effect in Celery either.', {
    old: ['CELERY_RESULT_COMPRESSION'],
  }),
  result_exchange: setting.text(
    'celeryresults',
    'Has no effect in Celery either (the amqp backend is gone).',
    { old: ['CELERY_RESULT_EXCHANGE'] },
  ),
  result_exchange_type: setting.text('direct', 'Has no effect in Celery either (the amqp backend is gone).', {
    old: ['CELERY_RESULT_EXCHANGE_TYPE'],
  }),
  result_expires: setting.duration(
    86400,
    'Seconds that a result is kept, or { days, hours, minutes, seconds }; null or 0 keeps it for ever.',
    { old: ['CELERY_TASK_RESULT_EXPIRES'] },
  ),
  result_persistent: setting.bool(null, 'rpc backend: answers outlive the broker.', {
    old: ['CELERY_RESULT_PERSISTENT'],
  }),
  result_extended: setting.bool(
    false,
    'Store name, args, kwargs, worker, retries and queue with each result.',
    { old: ['CELERY_RESULT_EXTENDED'] },
  ),
  result_serializer: setting.text('json', 'Serializer of results.', { old: ['CELERY_RESULT_SERIALIZER'] }),
  result_backend_transport_options: setting.dict(
    {},
    'Options of the result backend, such as global_keyprefix, result_chord_ordered or retry_policy.',
    { old: ['CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS'] },
  ),
  result_chord_retry_interval: setting.float(
    1,
    'Seconds between two looks at a chord that the backend cannot count.',
    { old: ['CELERY_RESULT_CHORD_RETRY_INTERVAL'] },
  ),
  result_chord_join_timeout: setting.float(
    3,
    "Seconds in which the results of a chord's header must be read.",
    { old: ['CELERY_RESULT_CHORD_JOIN_TIMEOUT'] },
  ),
  result_backend_max_sleep_between_retries_ms: setting.int(
    10000,
    'Longest wait before a backend operation is repeated, in milliseconds.',
    { old: ['CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS'] },
  ),
  result_backend_max_retries: setting.float(
    Infinity,
    'Repetitions of a backend operation, with result_backend_always_retry.',
    { old: ['CELERY_RESULT_BACKEND_MAX_RETRIES'] },
  ),
  result_backend_base_sleep_between_retries_ms: setting.int(
    10,
    'First wait before a backend operation is repeated, in milliseconds.',
    { old: ['CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS'] },
  ),
  result_backend_always_retry: setting.bool(
    false,
    'Repeat backend operations that failed for a passing reason.',
    { old: ['CELERY_RESULT_BACKEND_ALWAYS_RETRY'] },
  ),

  elasticsearch_retry_on_timeout: setting.bool(
    null,
    'Elasticsearch backend: repeat a request that timed out.',
    { old: ['CELERY_ELASTICSEARCH_RETRY_ON_TIMEOUT'] },
  ),
  elasticsearch_max_retries: setting.int(null, 'Elasticsearch backend: most attempts.', {
    old: ['CELERY_ELASTICSEARCH_MAX_RETRIES'],
  }),
  elasticsearch_timeout: setting.float(null, 'Elasticsearch backend: seconds per request.', {
    old: ['CELERY_ELASTICSEARCH_TIMEOUT'],
  }),
  elasticsearch_save_meta_as_text: setting.bool(
    true,
    'Elasticsearch backend: store results as text, not as nested documents.',
    { old: ['CELERY_ELASTICSEARCH_SAVE_META_AS_TEXT'] },
  ),

  security_certificate: setting.text(
    null,
    'Path of the PEM certificate with which messages are signed (auth serializer).',
    { old: ['CELERY_SECURITY_CERTIFICATE'] },
  ),
  security_cert_store: setting.text(null, 'Folder or glob of the certificates that are trusted.', {
    old: ['CELERY_SECURITY_CERT_STORE'],
  }),
  security_key: setting.text(null, 'Path of the private key with which messages are signed.', {
    old: ['CELERY_SECURITY_KEY'],
  }),
  security_key_password: setting.bytes(null, 'Password of that key.', {
    old: ['CELERY_SECURITY_KEY_PASSWORD'],
  }),
  security_digest: setting.text('sha256', 'Digest of signatures.', { old: ['CELERY_SECURITY_DIGEST'] }),

  database_url: setting.text(null, 'URL of the database backend.', { old: ['CELERY_RESULT_DBURI'] }),
  database_engine_options: setting.dict(
    { pool_pre_ping: true, pool_recycle: 3600 },
    'Options of the SQLAlchemy engine.',
    { old: ['CELERY_RESULT_ENGINE_OPTIONS'], python: 'configures SQLAlchemy' },
  ),
  database_engine_callback: setting.any(null, 'Called with each new engine.', {
    python: 'is a Python callable',
    since: 'main',
  }),
  database_short_lived_sessions: setting.bool(false, 'Drop the SQLAlchemy engine of each session.', {
    old: ['CELERY_RESULT_DB_SHORT_LIVED_SESSIONS'],
    python: 'configures SQLAlchemy',
  }),
  database_table_schemas: setting.dict(null, 'Database backend: schemas of the tables task and group.'),
  database_table_names: setting.dict(null, 'Database backend: names of the tables task and group.', {
    old: ['CELERY_RESULT_DB_TABLENAMES'],
  }),
  database_create_tables_at_setup: setting.bool(
    true,
    'Database backend: create tables at start, not at first use.',
  ),

  task_acks_late: setting.bool(false, 'Acknowledge a message after its task has run, not before.', {
    old: ['CELERY_ACKS_LATE'],
  }),
  task_acks_on_failure_or_timeout: setting.bool(
    true,
    'With task_acks_late: acknowledge also when the task failed or timed out.',
    { old: ['CELERY_ACKS_ON_FAILURE_OR_TIMEOUT'] },
  ),
  task_acks_on_failure: setting.bool(
    null,
    'With task_acks_late: acknowledge when the task failed; null means task_acks_on_failure_or_timeout.',
    { since: 'main' },
  ),
  task_acks_on_timeout: setting.bool(
    null,
    'With task_acks_late: acknowledge when the task timed out; null means task_acks_on_failure_or_timeout.',
    { since: 'main' },
  ),
  task_always_eager: setting.bool(
    false,
    'Run tasks at once in the calling process instead of sending them.',
    { old: ['CELERY_ALWAYS_EAGER'] },
  ),
  task_annotations: setting.annotations(null, 'Changes to the options of tasks, by task name or *.', {
    old: ['CELERY_ANNOTATIONS'],
  }),
  task_compression: setting.text(null, 'Compression of message bodies.', {
    old: ['CELERY_MESSAGE_COMPRESSION'],
  }),
  task_create_missing_queues: setting.bool(true, 'Create queues that task_queues does not name.', {
    old: ['CELERY_CREATE_MISSING_QUEUES'],
  }),
  task_create_missing_queue_type: setting.text(
    'classic',
    'Type of queues made by task_create_missing_queues: classic or quorum.',
    { old: ['CELERY_CREATE_MISSING_QUEUE_TYPE'] },
  ),
  task_create_missing_queue_exchange_type: setting.exchangeType(
    null,
    'Exchange type of queues made by task_create_missing_queues; null means direct.',
    { old: ['CELERY_CREATE_MISSING_QUEUE_EXCHANGE_TYPE'] },
  ),
  task_inherit_parent_priority: setting.bool(
    false,
    'Tasks sent by a task get its priority when they have none of their own.',
    { old: ['CELERY_INHERIT_PARENT_PRIORITY'] },
  ),
  task_default_delivery_mode: setting.deliveryMode(2, '1 or transient, 2 or persistent.', {
    old: ['CELERY_DEFAULT_DELIVERY_MODE'],
  }),
  task_default_queue: setting.text('celery', 'Queue of tasks that no route sends elsewhere.', {
    old: ['CELERY_DEFAULT_QUEUE'],
  }),
  task_default_queue_type: setting.text('classic', 'Type of the default queue: classic or quorum.', {
    old: ['CELERY_DEFAULT_QUEUE_TYPE'],
  }),
  task_default_exchange: setting.text(
    null,
    'Exchange of queues that name none; null means task_default_queue.',
    { old: ['CELERY_DEFAULT_EXCHANGE'] },
  ),
  task_default_exchange_type: setting.exchangeType('direct', 'Type of that exchange.', {
    old: ['CELERY_DEFAULT_EXCHANGE_TYPE'],
  }),
  task_default_routing_key: setting.text(
    null,
    'Routing key of queues that have none; null means task_default_queue.',
    { old: ['CELERY_DEFAULT_ROUTING_KEY'] },
  ),
  task_default_rate_limit: setting.rateLimit(null, 'Rate limit of tasks that set none, such as 10/m.', {
    old: ['CELERY_DEFAULT_RATE_LIMIT'],
  }),
  task_default_priority: setting.int(null, 'Priority of tasks that set none.', {
    old: ['CELERY_DEFAULT_PRIORITY'],
  }),
  task_eager_propagates: setting.bool(false, 'Errors of eager tasks are thrown to the caller.', {
    old: ['CELERY_EAGER_PROPAGATES_EXCEPTIONS'],
  }),
  task_ignore_result: setting.bool(false, 'Keep no results, unless the task says so.', {
    old: ['CELERY_IGNORE_RESULT'],
  }),
  task_store_eager_result: setting.bool(false, 'Store the results of eager tasks too.', {
    old: ['CELERY_STORE_EAGER_RESULT'],
  }),
  task_protocol: setting.int(2, 'Message protocol to write: 2 or 1.', { old: ['CELERY_TASK_PROTOCOL'] }),
  task_publish_retry: setting.bool(true, 'Try again when a publish fails because the broker is away.', {
    old: ['CELERY_TASK_PUBLISH_RETRY'],
  }),
  task_publish_retry_policy: setting.dict(
    { max_retries: 3, interval_start: 0, interval_max: 1, interval_step: 0.2 },
    'How to try again: max_retries, and seconds interval_start, interval_step, interval_max.',
    { old: ['CELERY_TASK_PUBLISH_RETRY_POLICY'] },
  ),
  task_queues: setting.queues(null, 'Declared queues; null declares the default queue alone.', {
    old: ['CELERY_QUEUES'],
  }),
  task_queue_max_priority: setting.int(null, 'x-max-priority of queues that set none.', {
    old: ['CELERY_QUEUE_MAX_PRIORITY'],
  }),
  task_reject_on_worker_lost: setting.bool(
    null,
    'With task_acks_late: put a message back when the process that ran it died.',
    { old: ['CELERY_REJECT_ON_WORKER_LOST'] },
  ),
  task_remote_tracebacks: setting.bool(false, "Raise errors with the worker's traceback.", {
    old: ['CELERY_REMOTE_TRACEBACKS'],
    python: 'needs the Python package tblib',
  }),
  task_routes: setting.routes(
    null,
    'Where tasks go: a record by name or pattern, functions, or a list of these.',
    { old: ['CELERY_ROUTES'] },
  ),
  task_send_sent_event: setting.bool(false, 'Send a task-sent event for each task.', {
    old: ['CELERY_SEND_TASK_SENT_EVENT'],
  }),
  task_serializer: setting.text('json', 'Serializer of tasks and remote control.', {
    old: ['CELERY_TASK_SERIALIZER'],
  }),
  task_soft_time_limit: setting.float(null, 'Seconds after which a task is asked to end.', {
    old: ['CELERYD_TASK_SOFT_TIME_LIMIT'],
  }),
  task_time_limit: setting.float(null, 'Seconds after which a task is ended.', {
    old: ['CELERYD_TASK_TIME_LIMIT'],
  }),
  task_store_errors_even_if_ignored: setting.bool(
    false,
    'Store failures of tasks that ignore their result.',
    { old: ['CELERY_STORE_ERRORS_EVEN_IF_IGNORED'] },
  ),
  task_track_started: setting.bool(false, 'Store the state STARTED.', { old: ['CELERY_TRACK_STARTED'] }),
  task_allow_error_cb_on_chord_header: setting.bool(
    false,
    'Error callbacks of a chord are linked to its header too.',
    { old: ['CELERY_ALLOW_ERROR_CB_ON_CHORD_HEADER'] },
  ),

  worker_agent: setting.text(null, 'Class of the agent.', {
    old: ['CELERYD_AGENT'],
    python: 'names a Python class',
  }),
  worker_autoscaler: setting.text('celery.worker.autoscale:Autoscaler', 'Class of the autoscaler.', {
    old: ['CELERYD_AUTOSCALER'],
    python: 'names a Python class',
  }),
  worker_cancel_long_running_tasks_on_connection_loss: setting.bool(
    false,
    'Cancel running late-acknowledged tasks when the broker is lost.',
    { old: ['CELERYD_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS'] },
  ),
  worker_soft_shutdown_timeout: setting.float(
    0,
    'Seconds to wait for running tasks before a cold shutdown; 0 does not wait.',
    { old: ['CELERYD_SOFT_SHUTDOWN_TIMEOUT'] },
  ),
  worker_enable_soft_shutdown_on_idle: setting.bool(false, 'Wait even when no task is running.', {
    old: ['CELERYD_ENABLE_SOFT_SHUTDOWN_ON_IDLE'],
  }),
  worker_concurrency: setting.int(null, 'Tasks that run at once; null means the number of CPUs.', {
    old: ['CELERYD_CONCURRENCY'],
  }),
  worker_consumer: setting.text('celery.worker.consumer:Consumer', 'Class of the consumer.', {
    old: ['CELERYD_CONSUMER'],
    python: 'names a Python class',
  }),
  worker_direct: setting.bool(false, "Consume from the worker's own queue, <host>.dq2, too.", {
    old: ['CELERY_WORKER_DIRECT'],
  }),
  worker_disable_rate_limits: setting.bool(false, 'Run without rate limits.', {
    old: ['CELERY_DISABLE_RATE_LIMITS'],
  }),
  worker_deduplicate_successful_tasks: setting.bool(
    false,
    'Skip redelivered tasks that have already succeeded.',
    { old: ['CELERYD_DEDUPLICATE_SUCCESSFUL_TASKS'] },
  ),
  worker_enable_remote_control: setting.bool(true, 'Answer remote control.', {
    old: ['CELERY_ENABLE_REMOTE_CONTROL'],
  }),
  worker_hijack_root_logger: setting.bool(true, 'Replace the handlers of the root logger.', {
    old: ['CELERYD_HIJACK_ROOT_LOGGER'],
  }),
  worker_log_color: setting.bool(null, 'Colour the log; null means on a terminal.', {
    old: ['CELERYD_LOG_COLOR'],
  }),
  worker_log_format: setting.text(
    '[%(asctime)s: %(levelname)s/%(processName)s] %(message)s',
    'Format of log lines, in the terms of Python logging.',
    { old: ['CELERYD_LOG_FORMAT'] },
  ),
  worker_lost_wait: setting.float(10, 'Seconds before the task of a vanished process counts as lost.', {
    old: ['CELERYD_WORKER_LOST_WAIT'],
  }),
  worker_max_memory_per_child: setting.int(null, 'KiB of memory after which a process is replaced.', {
    old: ['CELERYD_MAX_MEMORY_PER_CHILD'],
  }),
  worker_max_tasks_per_child: setting.int(null, 'Tasks after which a process is replaced.', {
    old: ['CELERYD_MAX_TASKS_PER_CHILD'],
  }),
  worker_pool: setting.text('prefork', 'Kind of pool.', { old: ['CELERYD_POOL'] }),
  worker_pool_putlocks: setting.bool(true, 'Hand a task to the pool only when a slot is free.', {
    old: ['CELERYD_POOL_PUTLOCKS'],
  }),
  worker_pool_restarts: setting.bool(false, 'Allow the remote control command pool_restart.', {
    old: ['CELERYD_POOL_RESTARTS'],
  }),
  worker_proc_alive_timeout: setting.float(4, 'Seconds in which a new process must be up.', {
    old: ['CELERYD_PROC_ALIVE_TIMEOUT'],
  }),
  worker_prefetch_multiplier: setting.int(4, 'Messages held per slot; 0 means no limit.', {
    old: ['CELERYD_PREFETCH_MULTIPLIER'],
  }),
  worker_eta_task_limit: setting.int(
    null,
    'Most messages held, those for a later time included. By default 1000 of these wait in the worker, or any number ' +
      'where the broker cannot keep the rest.',
    { old: ['CELERYD_ETA_TASK_LIMIT'] },
  ),
  worker_enable_prefetch_count_reduction: setting.bool(
    true,
    'Hold fewer messages after a reconnection until running tasks have ended.',
    { old: ['CELERYD_ENABLE_PREFETCH_COUNT_REDUCTION'] },
  ),
  worker_disable_prefetch: setting.bool(false, 'Fetch a message only when a slot is free (Redis).', {
    old: ['CELERYD_DISABLE_PREFETCH'],
  }),
  worker_redirect_stdouts: setting.bool(true, 'Send stdout and stderr to the log.', {
    old: ['CELERY_REDIRECT_STDOUTS'],
  }),
  worker_redirect_stdouts_level: setting.text('WARNING', 'Log level of what comes from stdout and stderr.', {
    old: ['CELERY_REDIRECT_STDOUTS_LEVEL'],
  }),
  worker_send_task_events: setting.bool(false, 'Send task events, as -E does.', {
    old: ['CELERY_SEND_EVENTS'],
  }),
  worker_state_db: setting.text(null, 'Path of the file that keeps revoked ids and the clock.', {
    old: ['CELERYD_STATE_DB'],
  }),
  worker_task_log_format: setting.text(
    '[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s',
    'Format of the log lines of tasks, in the terms of Python logging.',
    { old: ['CELERYD_TASK_LOG_FORMAT'] },
  ),
  worker_timer: setting.text(null, 'Class of the timer.', {
    old: ['CELERYD_TIMER'],
    python: 'names a Python class',
  }),
  worker_timer_precision: setting.float(1, 'Longest sleep of the timer, in seconds.', {
    old: ['CELERYD_TIMER_PRECISION'],
  }),
  worker_detect_quorum_queues: setting.bool(
    true,
    'Change prefetch and delays when a declared queue is a quorum queue.',
    { old: ['CELERYD_DETECT_QUORUM_QUEUES'] },
  ),
} satisfies Readonly<Record<string, Setting<unknown, unknown>>>

/** Names that Celery reads without declaring them (surface CFG-009); null where it has no default. */
export const undeclaredTable = {
  redis_client_name: setting.text(null, 'Redis backend: name of the connections, as CLIENT LIST shows it.'),
  redis_backend_health_check_interval: setting.int(
    null,
    'Redis backend: seconds between checks of an idle connection.',
  ),
  redis_backend_credential_provider: setting.any(null, 'Redis backend: class that gives user and password.', {
    python: 'names a Python class',
  }),
  result_backend_thread_safe: setting.bool(false, 'One result backend serves all threads.', {
    python: 'speaks of Python threads',
  }),
  override_backends: setting.dict({}, 'Result backend classes by alias.', { python: 'names Python classes' }),
  worker_logfile: setting.text(null, 'Log file of the worker, as --logfile.'),
  worker_pidfile: setting.text(null, 'Pid file of the worker, as --pidfile.'),
  worker_uid: setting.any(null, 'User of the detached worker, as --uid.'),
  worker_gid: setting.any(null, 'Group of the detached worker, as --gid.'),
  worker_umask: setting.any(null, 'File mode mask of the detached worker, as --umask.'),
  worker_executable: setting.text(null, 'Interpreter of the detached worker.', {
    python: 'names a Python interpreter',
  }),
  beat_logfile: setting.text(null, 'Log file of beat, as --logfile.'),
  beat_pidfile: setting.text(null, 'Pid file of beat, as --pidfile.'),
  beat_uid: setting.any(null, 'User of the detached beat, as --uid.'),
  beat_gid: setting.any(null, 'Group of the detached beat, as --gid.'),
  beat_umask: setting.any(null, 'File mode mask of the detached beat, as --umask.'),
  beat_executable: setting.text(null, 'Interpreter of the detached beat.', {
    python: 'names a Python interpreter',
  }),
} satisfies Readonly<Record<string, Setting<unknown, unknown>>>

type Table = typeof settingsTable & typeof undeclaredTable

/** A setting by Celery's name, `task_acks_late`. */
export type SettingName = keyof Table

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S
type ValueOf<S> = S extends Setting<infer Value, unknown> ? Value : never
type InputOf<S> = S extends Setting<unknown, infer Input> ? Input : never

/** A setting by our name, `taskAcksLate`. */
export type SettingKey = Camel<SettingName>

/** All settings of an app, read and checked (`config.ts`); frozen. */
export type Settings = { readonly [Name in SettingName as Camel<Name>]: ValueOf<Table[Name]> } & {
  /** `task_default_queue` when not set. */
  readonly taskDefaultExchange: string
  /** `task_default_queue` when not set. */
  readonly taskDefaultRoutingKey: string
}

/** What a user may give: some of the settings, with undefined for "not given". */
export type SettingsInput = {
  readonly [Name in SettingName as Camel<Name>]?: InputOf<Table[Name]> | undefined
}

const table: Readonly<Record<string, Setting<unknown, unknown>>> = { ...settingsTable, ...undeclaredTable }

/** `task_acks_late` to `taskAcksLate`; works for any name, also for one that is not a setting. */
export function camelCase(name: string): string {
  return name.replace(/(?<=.)_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

const nameByKey: ReadonlyMap<string, string> = new Map(
  Object.keys(table).map((name) => [camelCase(name), name]),
)

/** Celery's names of all settings, in the order of the table. */
export const settingNames = Object.keys(table) as readonly SettingName[]

/** Celery's name for either spelling; undefined when there is no such setting. */
export function settingName(nameOrKey: string): SettingName | undefined {
  if (Object.hasOwn(table, nameOrKey)) return nameOrKey as SettingName
  return nameByKey.get(nameOrKey) as SettingName | undefined
}

/** The row of a setting. */
export function settingRow(name: SettingName): Setting<unknown, unknown> {
  return table[name] as Setting<unknown, unknown>
}

/** Spellings of Celery 3 for a setting: `CELERY_ACKS_LATE`. None for a name that Celery does not declare. */
export function oldNames(name: SettingName): readonly string[] {
  return Object.hasOwn(settingsTable, name) ? (settingRow(name).old ?? [name.toUpperCase()]) : []
}

/** A variable of the environment that Celery's worker reads and that is not a setting (surface CFG-008). */
export interface EnvironmentVariable {
  readonly default: number | string | null
  readonly help: string
  readonly python?: string
}

/** The variables of surface CFG-008, by name. */
export const environmentVariables = {
  CELERY_CONFIG_MODULE: {
    default: 'celeryconfig',
    help: 'Module with the settings.',
    python: 'names a Python module',
  },
  CELERY_LOADER: { default: null, help: 'Class that loads settings.', python: 'names a Python class' },
  CELERY_SKIP_CHECKS: { default: null, help: 'Leave out the checks of Django.', python: 'speaks of Django' },
  CELERY_WORKER_REVOKES_MAX: { default: 50000, help: 'Revoked ids that a worker remembers.' },
  CELERY_WORKER_REVOKE_EXPIRES: { default: 10800, help: 'Seconds that it remembers them.' },
  CELERY_WORKER_SUCCESSFUL_MAX: { default: 1000, help: 'Ids of succeeded tasks that a worker remembers.' },
  CELERY_WORKER_SUCCESSFUL_EXPIRES: { default: 10800, help: 'Seconds that it remembers them.' },
  AUTOSCALE_KEEPALIVE: {
    default: 30,
    help: 'Seconds between two decisions of the autoscaler.',
    python: 'speaks of the autoscaler of process pools',
  },
  C_FORCE_ROOT: {
    default: null,
    help: 'Run as root although pickle is accepted.',
    python: 'guards a pickle that runs code, which ours does not',
  },
  REMAP_SIGTERM: { default: null, help: 'Signal as which SIGTERM is taken: SIGQUIT.' },
  CELERY_CUSTOM_WORKER_POOL: {
    default: null,
    help: 'Class of the pool custom.',
    python: 'names a Python class',
  },
  FORKED_BY_MULTIPROCESSING: { default: null, help: 'Set by billiard.', python: 'speaks of fork' },
  CELERY_RDBSIG: { default: null, help: 'Debugger on a signal.', python: 'starts the Python debugger' },
  PICKLE_PROTOCOL: { default: null, help: 'Version of pickle to write.', python: 'speaks of pickle' },
  C_FAKEFORK: { default: null, help: 'Detach without fork.', python: 'speaks of fork' },
  CELERY_BENCH: { default: null, help: 'Measure the worker.', python: 'measures the Python worker' },
  C_BENCH: { default: null, help: 'Measure the worker.', python: 'measures the Python worker' },
} as const satisfies Readonly<Record<string, EnvironmentVariable>>
