/**
 * `-A`: finds the app in a file of the user's, TypeScript or JavaScript (`celery/app/utils.py` find_app).
 *
 * Forms: `app.ts`, `./src/app`, `src/app:celery`, a folder with `app`, `celery` or `index` in it, or the name of an
 * installed package. Without `:name` the exports `app`, `celery` and `default` are tried, then the only app among them.
 */
import { existsSync, statSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Celery } from '../worker/celery.js'
import { CommandError, exitUsage } from './command-error.js'

const extensions = ['.ts', '.mts', '.js', '.mjs', '.cts', '.cjs']
const typeScript = /\.[cm]?tsx?$/

/** An app, also when it comes from another copy of this package (a global command and a local app). */
function isApp(value: unknown): value is Celery {
  if (value instanceof Celery) return true
  const app = value as { worker?: unknown; sendTask?: unknown; conf?: unknown } | null
  return (
    typeof app === 'object' &&
    app !== null &&
    typeof app.worker === 'function' &&
    typeof app.sendTask === 'function'
  )
}

function resolveFile(name: string, workdir: string): string | undefined {
  const path = isAbsolute(name) ? name : resolve(workdir, name)
  const dotted = resolve(workdir, name.replaceAll('.', '/'))
  const bases = path === dotted ? [path] : [path, dotted]
  for (const base of bases) {
    if (existsSync(base) && statSync(base).isFile()) return base
    const inFolder = ['app', 'celery', 'index'].map((file) => join(base, file))
    for (const candidate of [base, ...inFolder]) {
      const found = extensions.map((extension) => candidate + extension).find((file) => existsSync(file))
      if (found !== undefined) return found
    }
  }
  return undefined
}

/** Imports a module by path or package name; TypeScript is compiled on the way by tsx. */
export async function importModule(name: string, workdir: string): Promise<Record<string, unknown>> {
  const file = resolveFile(name, workdir)
  if (
    file === undefined &&
    (/^[./]/.test(name) || extensions.some((extension) => name.endsWith(extension)))
  ) {
    throw new CommandError(`Unable to load celery application: no file ${resolve(workdir, name)}`, exitUsage)
  }
  try {
    if (file !== undefined && typeScript.test(file)) {
      const [esm, cjs] = await Promise.all([import('tsx/esm/api'), import('tsx/cjs/api')])
      esm.register()
      // Without "type": "module" in the user's package.json the file is CommonJS to Node, which loads it by require().
      cjs.register()
    }
    return exportsOf(await import(file === undefined ? name : pathToFileURL(file).href))
  } catch (error) {
    if (file === undefined && (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') {
      throw new CommandError(
        `Unable to load celery application: there is no file or package ${JSON.stringify(name)} (looked from ${workdir})`,
        exitUsage,
        { cause: error },
      )
    }
    throw new CommandError(
      `Unable to load celery application: ${file ?? name} failed to load.\n${stackOf(error)}`,
      exitUsage,
      {
        cause: error,
      },
    )
  }
}

/** What a module exports; of CommonJS Node may see `module.exports` alone, as the default. */
function exportsOf(module: Record<string, unknown>): Record<string, unknown> {
  const { default: all, ...named } = module
  if (typeof all !== 'object' || all === null || isApp(all)) return module
  return { ...all, ...named }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** The app that `-A` names. Throws `CommandError` that says what was looked for and what was found. */
export async function loadApp(spec: string, workdir: string): Promise<Celery> {
  const [, name = spec, attribute] = /^(.*?)(?::([A-Za-z_$][\w$]*))?$/.exec(spec) ?? []
  const module = await importModule(name, workdir)
  if (attribute !== undefined) {
    const value = module[attribute]
    if (isApp(value)) return value
    const found = attribute in module ? 'is not a Celery app' : 'is not exported'
    throw new CommandError(`Unable to load celery application: ${attribute} of ${name} ${found}`, exitUsage)
  }
  for (const key of ['app', 'celery', 'default']) if (isApp(module[key])) return module[key]
  const apps = Object.values(module).filter(isApp)
  if (apps.length === 1 && apps[0] !== undefined) return apps[0]
  const why =
    apps.length === 0 ? 'exports no Celery app' : `exports ${apps.length} apps: name one as ${name}:NAME`
  throw new CommandError(
    `Unable to load celery application: ${name} ${why} (its exports: ${Object.keys(module).join(', ') || 'none'})`,
    exitUsage,
  )
}
