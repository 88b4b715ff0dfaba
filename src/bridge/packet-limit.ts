/**
 * Watches the bytes of one MQTT connection and says when a packet announces more than `most` bytes: the parser behind
 * would gather up to 256 MB of it.
 * @returns a function that takes each chunk and returns false from the first packet on that is too long
 */
export function limitPackets(most: number): (chunk: Uint8Array) => boolean {
  let body = 0
  let length = 0
  let digits = -1
  let fits = true

  // Fixed header: one byte of type and flags, then the length in up to four digits of base 128 (MQTT 3.1.1, 2.2).
  const header = (byte: number): void => {
    if (digits >= 0) length += (byte & 127) * 128 ** digits
    const more = digits < 0 || byte >= 128
    digits++
    if (more && digits < 4) return
    fits = !more && length <= most
    body = length
    length = 0
    digits = -1
  }

  return (chunk) => {
    for (let at = 0; fits && at < chunk.length; ) {
      const skipped = Math.min(body, chunk.length - at)
      body -= skipped
      at += skipped
      if (at < chunk.length) header(chunk[at++] ?? 0)
    }
    return fits
  }
}
