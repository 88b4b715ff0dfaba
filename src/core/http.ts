/** What an HTTP client asks for. */
export interface HttpRequest {
  readonly method: string
  /** Path and query as they were sent, percent-encoded. */
  readonly uri: string
  /** Who asks; undefined for a request that came over no network. */
  readonly remoteAddress?: string
  /** Entity tags that the client holds already, as its header lists them. */
  readonly ifNoneMatch?: string | undefined
}

/** What an HTTP client is answered. */
export interface HttpAnswer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}
