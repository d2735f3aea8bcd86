/** A signature as a plain record with Celery's wire names (wire-format 2.1); `canvas/` gives it shape. */
export type SignatureData = Readonly<Record<string, unknown>>
