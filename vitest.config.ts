import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Need other programs: `npm run test:interop`, `npm run test:redis`, `npm run test:netns`.
    exclude: ['test/interop/**', 'test/redis/**', 'test/netns/**'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
