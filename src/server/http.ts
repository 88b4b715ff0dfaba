import { permits } from '../core/access.ts'
import { type AtKey, parseAtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import type { HttpAnswer, HttpRequest } from '../core/http.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { isLive } from '../core/metadata.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Records } from '../core/storage.ts'
import { decodeBase2e15 } from '../crypto/base2e15.ts'
import { type View, viewText } from '../verbs/view.ts'

/** Answers HTTP requests; never throws. */
export type Responder = (request: HttpRequest) => Promise<HttpAnswer>

/** Media types by the ending of a file name. */
const mediaTypes: Readonly<Record<string, string>> = {
  html: 'text/html',
  htm: 'text/html',
  css: 'text/css',
  js: 'text/javascript',
  mjs: 'text/javascript',
  txt: 'text/plain',
  csv: 'text/csv',
  md: 'text/markdown',
  ics: 'text/calendar',
  vcf: 'text/vcard',
  json: 'application/json',
  xml: 'application/xml',
  pdf: 'application/pdf',
  wasm: 'application/wasm',
  zip: 'application/zip',
  svg: 'image/svg+xml',
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  gif: 'image/gif',
  webp: 'image/webp',
  avif: 'image/avif',
  ico: 'image/x-icon',
  mp3: 'audio/mpeg',
  wav: 'audio/wav',
  ogg: 'audio/ogg',
  mp4: 'video/mp4',
  webm: 'video/webm',
  woff2: 'font/woff2',
}

/** Type and subtype without parameters: nothing that could end a header line and begin another. */
const mediaType = /^[\w!#$&^.+-]{1,127}\/[\w!#$&^.+-]{1,127}$/

const answer = (status: number, body: HttpAnswer['body'] = '', headers: HttpAnswer['headers'] = {}): HttpAnswer => ({
  status,
  headers: { 'x-content-type-options': 'nosniff', ...headers },
  body,
})

const badRequest = answer(400)
const notFound = answer(404, '404 Not Found', { 'content-type': 'text/plain; charset=utf-8' })

/** A URI taken apart and decoded. */
interface Asked {
  readonly path: string
  readonly view: View
  readonly type: string | undefined
}

/** @returns undefined when the percent-encoding is broken or a parameter has a value that means nothing */
function parseUri(uri: string): Asked | undefined {
  const [path = '', query = ''] = uri.split(/\?(.*)/s, 2)
  try {
    const parameters = new Map<string, string>()
    for (const part of query.split('&')) {
      const [name = '', value = ''] = part.split(/=(.*)/s, 2).map(decodeURIComponent)
      if (!parameters.has(name)) parameters.set(name, value)
    }
    const view = parameters.get('at_rt')
    const type = parameters.get('at_ct')
    if (view !== undefined && view !== 'meta' && view !== 'all') return undefined
    if (type !== undefined && !mediaType.test(type)) return undefined
    return { path: decodeURIComponent(path), view, type }
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}

/**
 * The public key of `self` that a decoded path names (page 06, section 4): `/wavi/location`, `/location.wavi`,
 * `/@alice/wavi/location` and `/public:location.wavi@alice` are all `public:location.wavi@alice`.
 * @returns undefined for a path that names no public key of `self`
 */
export function keyOfPath(path: string, self: AtSign): AtKey | undefined {
  try {
    let rest = path.replace(/^\/+/, '')
    const slash = rest.indexOf('/')
    if (rest.startsWith('@') && slash !== -1) {
      if (parseAtSign(rest.slice(0, slash)) !== self) return undefined
      rest = rest.slice(slash + 1)
    }
    rest = rest.replace(/^public:/i, '')
    const at = rest.lastIndexOf('@')
    if (at !== -1) {
      if (parseAtSign(rest.slice(at)) !== self) return undefined
      rest = rest.slice(0, at)
    }
    const segments = rest.split('/').filter((segment) => segment !== '')
    const key = parseAtKey(`public:${segments.reverse().join('.')}${self}`)
    const refusal = permits({ kind: 'anyone' }, { op: 'read', key, verb: 'lookup' })
    return refusal === undefined && key.owner === self ? key : undefined
  } catch (error) {
    if (error instanceof AtError) return undefined
    throw error
  }
}

/** The first two parts of a name are a file's: `index.html.demo` is a page (page 07, 18.2). */
function typeOf(key: AtKey, isBinary: boolean): string {
  const ending = key.entity.split('.')[1] ?? ''
  const known = Object.hasOwn(mediaTypes, ending) ? mediaTypes[ending] : undefined
  return known ?? (isBinary ? 'application/octet-stream' : 'text/plain')
}

/** A version counts from 0 again once its record was deleted; the time tells them apart. */
const tagOf = ({ metadata, commitId }: StoredRecord): string =>
  `"${metadata.version ?? 0}-${metadata.updatedAt ?? 0}-${commitId}"`

const holds = (ifNoneMatch: string | undefined, tag: string): boolean =>
  ifNoneMatch?.split(',').some((held) => ['*', tag].includes(held.trim().replace(/^W\//, ''))) ?? false

/** @returns a record as `at_rt` selects it; a binary value is bytes, whether or not all was asked for */
function bodyOf(view: View, key: AtKey, { value, metadata }: StoredRecord): string | Uint8Array {
  if (view !== 'meta' && metadata.isBinary === true && value !== null) return decodeBase2e15(value)
  return view === undefined ? (value ?? '') : (viewText(view, key.text, value, metadata) ?? '')
}

/** Serves the public records of one atSign to anybody, and nothing else (page 07, 18.2). */
export function createResponder(options: {
  self: AtSign
  records: Pick<Records, 'get'>
  clock: Clock
  log: Log
}): Responder {
  const { self, records, clock, log } = options

  const respond = async ({ method, uri, ifNoneMatch }: HttpRequest): Promise<HttpAnswer> => {
    if (uri.length > limits.uriLength) return badRequest
    if (method !== 'GET') return answer(405, '', { allow: 'GET' })
    const asked = parseUri(uri)
    if (asked === undefined) return badRequest
    const key = keyOfPath(asked.path, self)
    if (key === undefined) return notFound
    const record = await records.get(key.text)
    if (record === undefined || !isLive(record.metadata, clock.now())) return notFound
    // Whoever keeps a copy has to ask whether it is still the latest.
    const headers = { etag: tagOf(record), 'cache-control': 'no-cache' }
    if (holds(ifNoneMatch, headers.etag)) return answer(304, '', headers)
    const type = asked.type ?? typeOf(key, record.metadata.isBinary === true)
    const shown = asked.view === 'meta' ? 'application/json' : type
    return answer(200, bodyOf(asked.view, key, record), { ...headers, 'content-type': `${shown}; charset=utf-8` })
  }

  return async (request) => {
    try {
      return await respond(request)
    } catch (error) {
      log('error', 'an HTTP request failed unexpectedly', { error })
      return answer(500)
    }
  }
}
