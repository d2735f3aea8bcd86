/** The wire of Celery and Kombu: pure functions between bytes and values, usable without the rest of celeriac. */
export * from './compression.js'
export * from './errors.js'
export * from './float-repr.js'
export * from './iso-time.js'
export * from './json.js'
export type * from './json-types.js'
export * from './serializers.js'
export * from './values.js'
