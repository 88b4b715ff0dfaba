import { flag, type Grammar, integer, optionalWord, type Part, seq } from '../wire/grammar.ts'
import { stream } from '../wire/reply.ts'
import { defineVerb } from './verb.ts'

const since: Part<{ since?: number }> = {
  read(cursor, out) {
    const digits = /^:(\d+)(?= |$)/.exec(cursor.text.slice(cursor.at))
    if (digits?.[1] === undefined) return
    out['since'] = integer(0).parse(digits[1], 'epochMillis')
    cursor.at += digits[0].length
  },
  write: (params) => (params.since === undefined ? '' : `:${params.since}`),
}

const grammar: Grammar<{
  strict?: true
  selfNotifications?: true
  multiplexed?: true
  since?: number
  pattern?: string
}> = seq(flag('strict'), flag('selfNotifications'), flag('multiplexed'), since, optionalWord('pattern'))

export const monitor = defineVerb({
  name: 'monitor',
  summary: 'Have notifications written to this connection as they arrive.',
  grammar,
  admits: ['owner'],
  run(p, ports) {
    return stream({
      since: p.since,
      pattern: p.pattern === undefined ? undefined : ports.pattern(p.pattern),
      selfNotifications: p.selfNotifications ?? false,
      strict: p.strict ?? false,
      multiplexed: p.multiplexed ?? false,
    })
  },
  examples: [
    'monitor',
    'monitor .*',
    'monitor:selfNotifications:1729751900000 .wavi',
    'monitor:strict:selfNotifications:multiplexed:0',
  ],
})
