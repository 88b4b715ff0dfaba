import { randomBytes } from 'node:crypto'
import { renderUnicodeCompact } from 'uqr'
import type { AtSign } from '../core/at-sign.ts'

/** A new CRAM secret: 512 random bits as 128 lower-case hex characters, used as text (page 02, section 3). */
export const newCramSecret = (): string => randomBytes(64).toString('hex')

/** A QR code for a terminal that SDK apps scan to activate: the text `@alice:<secret>`. */
export const secretQr = (atSign: AtSign, secret: string): string =>
  renderUnicodeCompact(`${atSign}:${secret}`, { border: 2 })
