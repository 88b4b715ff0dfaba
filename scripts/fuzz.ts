import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

// npm run test:fuzz [-- --full] [-- --seed <n>] [vitest's own options]

/** A soak sends this many times more lines than CI. */
const soak = 20

const { values, tokens } = parseArgs({
  options: { full: { type: 'boolean' }, seed: { type: 'string' } },
  strict: false,
  tokens: true,
})
const own = new Set(
  tokens.flatMap((token) => (token.kind === 'option' && ['full', 'seed'].includes(token.name) ? [token.index] : [])),
)
const rest = process.argv
  .slice(2)
  .filter((word, index) => !own.has(index) && !(own.has(index - 1) && word === values.seed))

const { status } = spawnSync('vitest', ['run', '--config', 'vitest.fuzz.config.ts', ...rest], {
  stdio: 'inherit',
  env: {
    ...process.env,
    ...(values.full === true ? { ATEDGE_FUZZ_TIMES: String(soak) } : {}),
    ...(typeof values.seed === 'string' ? { ATEDGE_FUZZ_SEED: values.seed } : {}),
  },
})
process.exitCode = status ?? 1
