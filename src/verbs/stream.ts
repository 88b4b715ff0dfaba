import { invalidSyntax } from '../core/errors.ts'
import { type Part, seq } from '../wire/grammar.ts'
import { defineVerb, everyone } from './verb.ts'

const anything: Part<{ rest: string }> = {
  read(cursor, out) {
    out['rest'] = cursor.text.slice(cursor.at)
    cursor.at = cursor.text.length
  },
  write: (p) => p.rest,
}

export const stream = defineVerb({
  name: 'stream',
  summary: 'Refused: released servers do not serve it any more either (page 07, 2.2).',
  grammar: seq(anything),
  admits: everyone,
  run() {
    throw invalidSyntax('stream is not served any more; share a file as a record, or by a notification that names it')
  },
  examples: ['stream:init@bob namespace:wavi 1 photo.jpg 1024'],
})
