/** Where the three character ranges of base2e15 lie, by the value they hold (page 05, 1.9). */
const ranges = [
  { from: 0, to: 0x1936, offset: 0x3480 },
  { from: 0x1936, to: 0x545c, offset: 0x34ca },
  { from: 0x545c, to: 0x8000, offset: 0x57a4 },
] as const
const shortOffset = 0x3400

/** Bytes as CJK and Hangul text, 15 bits a character, as Dart and newer Java write binary values (page 05, 1.9). */
export function encodeBase2e15(bytes: Uint8Array): string {
  const text: string[] = []
  let held = 0
  let bits = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    bits += 8
    if (bits < 15) continue
    bits -= 15
    text.push(longCharacter(held >> bits))
    held &= (1 << bits) - 1
  }
  if (bits > 7) text.push(longCharacter(held << (15 - bits)))
  else if (bits > 0) text.push(String.fromCharCode(shortOffset + (held << (7 - bits))))
  return text.join('')
}

/** The bytes of base2e15 text; characters outside its ranges are skipped, as Dart does. */
export function decodeBase2e15(text: string): Uint8Array {
  const bytes = new Uint8Array(Math.floor((text.length * 15) / 8))
  let length = 0
  let held = 0
  let bits = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    const isShort = unit >= shortOffset && unit < shortOffset + 0x80
    const value = isShort ? unit - shortOffset : longValue(unit)
    if (value === undefined) continue
    const width = isShort ? 7 : 15
    held = (held << width) | value
    bits += width
    for (; bits >= 8; bits -= 8) bytes[length++] = (held >> (bits - 8)) & 0xff
    held &= (1 << bits) - 1
  }
  return bytes.slice(0, length)
}

function longCharacter(value: number): string {
  const range = value < ranges[0].to ? ranges[0] : value < ranges[1].to ? ranges[1] : ranges[2]
  return String.fromCharCode(range.offset + value)
}

function longValue(unit: number): number | undefined {
  for (const { from, to, offset } of ranges) {
    const value = unit - offset
    if (value >= from && value < to) return value
  }
  return undefined
}
