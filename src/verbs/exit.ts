import { seq } from '../wire/grammar.ts'
import { hangUp } from '../wire/reply.ts'
import { defineVerb, everyone } from './verb.ts'

export const exit = defineVerb({
  name: '@exit',
  summary: 'Close the connection; nothing is answered.',
  grammar: seq(),
  admits: everyone,
  run: () => hangUp,
  examples: ['@exit'],
})
