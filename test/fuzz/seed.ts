import { onTestFailed } from 'vitest'

/** How often more than in CI; `npm run test:fuzz -- --full` is a soak. */
const times = Number(process.env['ATEDGE_FUZZ_TIMES'] ?? 1)

/** Every generator of a run starts here; `npm run test:fuzz -- --seed <n>` repeats a run. */
export const seed = Number(process.env['ATEDGE_FUZZ_SEED'] ?? Math.floor(1e9 * Math.random()))

/** How many of something a run makes. */
export const effort = (count: number): number => count * times

/** Has the seed printed when the test fails, with what `last` tells about the moment. */
export function tellSeed(last: () => string = () => ''): void {
  onTestFailed(() => console.error(`repeat with: npm run test:fuzz -- --seed ${seed}\n${last()}`))
}
