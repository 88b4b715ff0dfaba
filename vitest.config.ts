import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Need other programs: `npm run test:interop`, `npm run test:redis`.
    exclude: ['test/interop/**', 'test/redis/**'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
