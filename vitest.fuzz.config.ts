import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/fuzz/**/*.test.ts'],
    pool: 'forks',
    // A soak takes as long as it takes.
    testTimeout: 3_600_000,
    hookTimeout: 60_000,
  },
})
