import type { HttpAnswer, HttpRequest } from '../core/http.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'

const plain = { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' }
const answer = (status: number, body: string, headers: HttpAnswer['headers'] = {}): HttpAnswer => ({
  status,
  headers: { ...plain, ...headers },
  body,
})

/** The first segment of a path, decoded; undefined when its percent-encoding is broken. */
function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

/**
 * Answers HTTP requests to an atDirectory (page 06, section 4): `GET /@alice` with the address of its atServer,
 * `GET /@alice/<path>?<query>` with a redirection there. 404 for what is not known, 405 for other methods, 400 for a URI
 * over 1,000 characters, 429 for who asks too fast. It never throws.
 * @param options `find` gives the address of an atSign as it was written; `wait` the milliseconds that a client has to wait,
 *   who is then asked to come again
 */
export function createDirectoryResponder(options: {
  find: (name: string) => string | undefined | Promise<string | undefined>
  wait: (remoteAddress: string) => number
  log: Log
}): (request: HttpRequest) => Promise<HttpAnswer> {
  const { find, wait, log } = options
  return async ({ method, uri, remoteAddress = '' }) => {
    if (uri.length > limits.uriLength) return answer(400, '')
    if (method !== 'GET') return answer(405, '', { allow: 'GET' })
    const [, segment = '', rest = ''] = /^\/*([^/?]*)(.*)$/s.exec(uri) ?? []
    const name = decoded(segment)
    if (name === undefined) return answer(400, '')
    const ms = wait(remoteAddress)
    if (ms > 0) return answer(429, '', { 'retry-after': String(Math.ceil(ms / 1_000)) })
    try {
      const address = await find(name)
      if (address === undefined) return answer(404, '404 Not Found')
      const path = rest.replace(/^\/+/, '')
      return path === '' ? answer(200, address) : answer(302, '', { location: `https://${address}/${path}` })
    } catch (error) {
      log('debug', 'a lookup cannot be answered now', {
        reason: error instanceof Error ? error.message : String(error),
      })
      return answer(503, '', { 'retry-after': '5' })
    }
  }
}
