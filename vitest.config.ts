import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Need other programs or much time: `npm run test:interop`, `test:redis`, `test:netns`, `test:fuzz`, `test:faults`.
    exclude: ['test/interop/**', 'test/redis/**', 'test/netns/**', 'test/fuzz/**', 'test/faults/**'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
