import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '..')
const inRoot = (command: string, args: readonly string[]): string =>
  execFileSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/** All that packing reads. */
const sources = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'protocol',
  'src',
  'scripts',
  'README.md',
  'CHANGELOG.md',
  'LICENSE',
]

/** What a user gets from the registry: packed, installed in an empty project, imported, required, compiled and run. */
describe('the package as users install it', () => {
  let folder: string
  let tarball: string
  let packed: string[]
  const copies: string[] = []

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'celeriac-package-'))
    // Packing builds: what is published never depends on what happened to be compiled. In a copy, since other tests run
    // what is compiled here meanwhile.
    const copy = mkdtempSync(join(tmpdir(), 'celeriac-sources-'))
    copies.push(copy)
    for (const name of sources) cpSync(join(root, name), join(copy, name), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    const pack = ['pack', '--json', '--pack-destination', folder]
    const [entry] = JSON.parse(
      execFileSync('npm', pack, { cwd: copy, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }),
    ) as [{ filename: string; files: { path: string }[] }]
    tarball = join(folder, entry.filename)
    packed = entry.files.map((file) => file.path)
    writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}')
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', tarball], {
      cwd: folder,
      stdio: 'pipe',
    })
  })
  afterAll(() => {
    for (const made of [folder, ...copies]) rmSync(made, { recursive: true, force: true })
  })

  const inProject = (...args: string[]): string =>
    execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

  it('holds the compiled code, its types and the papers, and nothing else', () => {
    const allowed =
      /^(dist\/(src|protocol)\/.*\.(js|d\.ts|js\.map)|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/
    expect(packed.filter((path) => !allowed.test(path))).toEqual([])
    expect(packed.filter((path) => /\.(test|conformance)\./.test(path))).toEqual([])
    expect(packed).toContain('dist/src/index.js')
    expect(packed).toContain('dist/src/index.d.ts')
    expect(packed).toContain('LICENSE')
  })

  it('has no issue that publint knows', () => {
    expect(
      inRoot(process.execPath, [join('node_modules', 'publint', 'src', 'cli.js'), tarball, '--strict']),
    ).toContain('All good')
  })

  it('resolves with types, from ESM and from bundlers', () => {
    const attw = join('node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js')
    const verdict = inRoot(process.execPath, [
      attw,
      tarball,
      '--profile',
      'esm-only',
      '--no-emoji',
      '--no-color',
    ])
    expect(verdict.match(/OK \(ESM\)/g)).toHaveLength(3)
  })

  it('has a door for each use, by import and by require', () => {
    const doors = ['celeriac', 'celeriac/worker', 'celeriac/protocol']
    for (const door of doors) {
      const names = inProject(
        '--input-type=module',
        '-e',
        `console.log(Object.keys(await import('${door}')).length)`,
      )
      const required = inProject(
        '--input-type=commonjs',
        '-e',
        `console.log(Object.keys(require('${door}')).length)`,
      )
      expect(Number(names)).toBeGreaterThan(0)
      expect(Number(required)).toBe(Number(names))
    }
  })

  it('does nothing when it is imported: no handle, no output', () => {
    const text = inProject(
      '--input-type=module',
      '-e',
      `const before = process.listenerCount('exit') + process.listenerCount('SIGTERM')
       await import('celeriac'); await import('celeriac/worker'); await import('celeriac/protocol')
       console.log(JSON.stringify([process.getActiveResourcesInfo().filter((r) => !/Pipe|TTY|FS|CloseReq/.test(r)),
         process.listenerCount('exit') + process.listenerCount('SIGTERM') - before]))`,
    )
    expect(JSON.parse(text)).toEqual([[], 0])
  })

  it('compiles the tour in the strictest project, and a CommonJS file that requires it', () => {
    cpSync(join(root, 'examples', 'shop'), join(folder, 'shop'), { recursive: true })
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          target: 'ES2022',
          lib: ['ES2023', 'ESNext.Disposable'],
          module: 'NodeNext',
          strict: true,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          noEmit: true,
          skipLibCheck: false,
          types: ['node'],
          typeRoots: [join(root, 'node_modules', '@types')],
        },
        include: ['shop', 'required.cts'],
      }),
    )
    writeFileSync(
      join(folder, 'required.cts'),
      "import celeriac = require('celeriac')\nexport const app: celeriac.Celery = new celeriac.Celery('shop')\n",
    )
    inRoot(process.execPath, [join('node_modules', 'typescript', 'bin', 'tsc'), '-p', folder])
  })

  it('brings the command', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    expect(
      inProject(join('node_modules', 'celeriac', 'dist', 'src', 'cli', 'main.js'), '--version'),
    ).toContain(version)
  })
})
