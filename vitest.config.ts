import { resolve } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { alias: { celeriac: resolve(import.meta.dirname, 'src/index.ts') } },
  test: {
    testTimeout: 20_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['protocol/**/*.test.ts', 'src/**/*.test.ts', 'scripts/**/*.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'interop',
          include: ['interop-tests/**/*.test.ts'],
          globalSetup: ['interop-tests/build.setup.ts'],
          testTimeout: 90_000,
          hookTimeout: 180_000,
          // They wait more than they work; each file has servers, folders and ports of its own.
          maxWorkers: 2,
        },
      },
    ],
  },
})
