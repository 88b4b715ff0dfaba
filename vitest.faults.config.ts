import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts'],
    globalSetup: 'test/faults/leftovers.ts',
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 12 * 3_600_000,
    hookTimeout: 120_000,
  },
})
