/** What an error code means on the wire and for its connection. */
export interface CatalogueEntry {
  /** Table text, sent to owner sessions in front of the detail. */
  readonly text: string
  /** True when the connection closes after the reply has left. */
  readonly closes: boolean
}

/**
 * Every error code of the atProtocol that this server can send or receive.
 * Texts are compared by released clients (`error:AT0015-key not found`), so they are fixed.
 */
export const catalogue = {
  AT0001: { text: 'Server exception', closes: false },
  AT0002: { text: 'DataStore exception', closes: true },
  AT0003: { text: 'Invalid syntax', closes: false },
  AT0004: { text: 'Socket error', closes: false },
  AT0005: { text: 'Buffer limit exceeded', closes: true },
  AT0006: { text: 'Outbound connection limit exceeded', closes: false },
  AT0007: { text: 'Secondary server not found', closes: false },
  AT0008: { text: 'Handshake failure', closes: false },
  AT0009: { text: 'UnAuthorized client in request', closes: false },
  AT0010: { text: 'Internal server error', closes: false },
  AT0011: { text: 'Internal server exception', closes: false },
  AT0012: { text: 'Inbound connection limit exceeded', closes: true },
  AT0013: { text: 'Connection Exception', closes: true },
  AT0015: { text: 'key not found', closes: false },
  AT0016: { text: 'Invalid key', closes: false },
  AT0021: { text: 'Unable to connect to secondary', closes: false },
  AT0022: { text: 'Illegal arguments', closes: false },
  AT0023: { text: 'Timeout waiting for response', closes: false },
  AT0024: { text: 'Server is paused', closes: true },
  AT0025: { text: 'Apkam Auth Denied', closes: false },
  AT0026: { text: 'Apkam Auth Failed', closes: false },
  AT0027: { text: 'Apkam Access Revoked', closes: false },
  AT0028: { text: 'Too Many Requests', closes: false },
  AT0031: { text: 'Cannot revoke self enrollment', closes: false },
  AT0032: { text: 'Illegal state exception', closes: false },
  AT0401: { text: 'Client authentication failed', closes: false },
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof catalogue

/** True when `text` is a code of the catalogue. */
export const isErrorCode = (text: string): text is ErrorCode => Object.hasOwn(catalogue, text)

/** Every code of the catalogue. */
export const errorCodes: readonly ErrorCode[] = Object.keys(catalogue).filter(isErrorCode)

/** How the code and the detail are joined: `code-text` (or JSON on request), or `code:text` for APKAM states. */
export type ErrorShape = 'plain' | 'colon'

/** An error that has a place in the protocol: it becomes one reply line, with the code of the catalogue. */
export class AtError extends Error {
  readonly code: ErrorCode
  readonly shape: ErrorShape
  readonly closes: boolean
  /** True for words that released servers use too: nothing is added to them. */
  readonly verbatim: boolean

  /**
   * @param code catalogue code
   * @param detail one sentence that names the offending part; never a secret, never a line feed
   * @param options `closes` overrides the catalogue, `shape` selects the colon form of APKAM states (page 02, section 1)
   */
  constructor(
    code: ErrorCode,
    detail: string,
    options: { shape?: ErrorShape; closes?: boolean; verbatim?: boolean; cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AtError'
    this.code = code
    this.shape = options.shape ?? 'plain'
    this.closes = options.closes ?? catalogue[code].closes
    this.verbatim = options.verbatim ?? false
  }
}

/** AT0003 with the part of the line that could not be understood. */
export const invalidSyntax = (detail: string): AtError => new AtError('AT0003', detail)

/** AT0003 in the words of released servers, for a line that they refuse for the same reason. */
export const settledSyntax = (detail: string): AtError => new AtError('AT0003', detail, { verbatim: true })

/** AT0015 in the exact words that at_c, at_pico_w and at_cli_commons look for. */
export const keyNotFound = (key: string): AtError => new AtError('AT0015', `${key} does not exist in keystore`)

/** AT0401 of every verb that needs an identity the session does not have. */
export const authenticationRequired = (): AtError => new AtError('AT0401', 'Command cannot be executed without auth')
