import { primaryEnrollment, rootGrants } from '../core/enrollment.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { lineBreak } from '../core/one-line.ts'
import { isPublicKey } from '../crypto/signing.ts'
import { flag, type Grammar, key, metadata, seq, text } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { leavesBlockList } from './block-list.ts'
import { checkWritable, writeRecord } from './changes.ts'
import { readUpdateDocument, type UpdateParams } from './update-json.ts'
import { defineVerb, type Ports } from './verb.ts'

const textForm: Grammar<UpdateParams> = seq(flag('nc'), metadata, key('optional'), text('value'))

/** Both spellings of `update`; the JSON one is read and never written. */
const grammar: Grammar<UpdateParams> = {
  parse(input) {
    const json = /^(:nc)?:json:/i.exec(input)
    if (json !== null) return readUpdateDocument(input.slice(json[0].length), json[1] !== undefined)
    const params = textForm.parse(input)
    if (lineBreak.test(params.value)) throw invalidSyntax('value holds a line break')
    return params
  },
  format: textForm.format,
}

/**
 * The credential of a legacy onboarding (Java, Python) becomes the enrollment `primary`; no flat key is ever stored
 * (page 08, 2.2).
 */
async function installPrimary(ports: Ports, publicKey: string): Promise<void> {
  if (!isPublicKey('rsa2048', publicKey)) {
    throw new AtError('AT0022', 'at_pkam_publickey takes an RSA public key in base64')
  }
  await ports.write((tx) =>
    tx.putEnrollment({
      id: primaryEnrollment,
      appName: 'legacy',
      deviceName: 'legacy',
      namespaces: rootGrants,
      publicKey,
      signingAlgo: 'rsa2048',
      state: 'approved',
    }),
  )
}

export const update = defineVerb({
  name: 'update',
  summary: 'Store a value under a key; a record shared with another atSign is also announced to it.',
  grammar,
  admits: ['owner'],
  overlaps: leavesBlockList,
  access: (p) => [{ op: 'write', key: p.key, verb: 'update' }],
  async run(p, ports) {
    if (p.key.text === 'privatekey:at_pkam_publickey') {
      await installPrimary(ports, p.value)
      return data('-1')
    }
    checkWritable(p.key, ports.self)
    const id = await writeRecord(ports, p.key, { metadata: p.metadata, value: p.value, nc: p.nc ?? false })
    return data(String(id))
  },
  examples: [
    'update:public:location@alice California',
    'update:@bob:phone.wavi@alice +1 555 0100',
    'update:ttl:3000:isEncrypted:true:ivNonce:8PHy8/T19vf4+fr7/P3+/w==:@bob:offer.wavi@alice Y2lwaGVy',
    'update:nc:ttr:-1:ccd:true:@bob:temp.sensors@alice 21.5',
    'update:eAt:2030-01-01T00:00:00.000000Z:ts2.wavi@alice hello',
  ],
})
