/**
 * A signature as a plain record with Celery's wire names: `task`, `args`, `kwargs`, `options`, `subtask_type` and
 * `immutable`, in this order (the dict forms of `celery/canvas.py`; wire-format 2). `src/canvas` reads and writes it.
 */
export type SignatureData = Readonly<Record<string, unknown>>
