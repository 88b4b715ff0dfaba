import fc from 'fast-check'
import { findVerb, verbs } from '../../src/verbs/table.ts'

const examples = [...verbs.values()].flatMap(({ examples }) => examples)

/** Whether a line is of one of these verbs. */
export const isOf = (line: string, ...names: string[]): boolean =>
  names.includes(findVerb(line.trim())?.verb.name ?? '')

/** Whether a line may take a login away, or bring one. */
export const mayChangeSession = (line: string): boolean => isOf(line, 'from', 'cram', 'pkam', 'pol')

const hostile = fc.constantFrom(
  ...[
    ':',
    '::',
    '@',
    '@@',
    ' ',
    '  ',
    '\u0000',
    '\t',
    '\r',
    '\u0085',
    '\u2028',
    'é',
    '🦄',
    '\ud83e',
    '\u200d',
    '"',
    '\\',
    '{',
    '}',
  ],
  ...[
    '__proto__',
    ':constructor',
    ':toString:',
    'hasOwnProperty@alice',
    ':nc',
    ':json:',
    ':meta',
    ':all',
    ':cached:',
    'public:',
  ],
  ...[
    'private:',
    'privatekey:at_secret',
    '9'.repeat(40),
    '-1',
    '-0',
    '1e9',
    '0x10',
    'NaN',
    '9007199254740993',
    'null',
    'true',
  ],
  ...[
    ':ttl:',
    ':ttl:1',
    ':eAt:2030-01-01T00:00:00Z',
    ':immutable:true',
    '@alice',
    '@bob:',
    '@🦄',
    '.wavi',
    '*',
    '(a+)+$',
    '[',
    '\\1',
  ],
)

/** Example lines, cut, mended, joined, and with something hostile put in. */
export const mutated: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom(...examples),
    fc.constantFrom('', '', ...examples),
    fc.array(fc.tuple(fc.nat(200), fc.nat(12), fc.oneof(hostile, fc.constant(''))), { minLength: 1, maxLength: 4 }),
    fc.integer({ min: 0, max: 9 }),
  )
  .map(([first, second, changes, shape]) => {
    let line = `${first}${second}`
    for (const [at, cut, put] of changes) {
      const from = at % (line.length + 1)
      line = line.slice(0, from) + put + line.slice(from + (shape > 6 ? cut : Math.min(cut, 1)))
    }
    return (shape === 0 ? line.toUpperCase() : line).replaceAll('\n', '').toWellFormed()
  })

/** Lines at which a careless parser would break. */
export const monsters: readonly string[] = [
  ...[':', ':::', ' : ', '\u0000', '@', '@:', ':@', '{}', 'null', '__proto__', 'constructor:x', 'update:'.repeat(50)],
  ...[
    ':'.repeat(65_536),
    'update'.concat(':'.repeat(65_536)),
    `llookup:${'@a:'.repeat(20_000)}`,
    `scan ${'('.repeat(60_000)}`,
  ],
  ...[
    `update:${'ttl:1:'.repeat(10_000)}x@alice v`,
    `notify:${'priority:low:'.repeat(5_000)}`,
    `stats:${'1,'.repeat(20_000)}1`,
  ],
  ...[
    `update:json:${'['.repeat(60_000)}`,
    `update:json:${'{"a":'.repeat(10_000)}`,
    `from:@alice:clientConfig:${'['.repeat(60_000)}`,
  ],
  ...[
    `noop:${'9'.repeat(60_000)}`,
    `delete:${'public:'.repeat(9_000)}x@alice`,
    `${' '.repeat(60_000)}x`,
    `x${' '.repeat(60_000)}:`,
  ],
]
