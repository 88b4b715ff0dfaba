import { encode } from 'uqr'
import { describe, expect, test } from 'vitest'
import { newCramSecret, secretQr } from '../../src/provision/secret.ts'

describe('a CRAM secret', () => {
  test('is 512 random bits in hex', () => {
    expect(newCramSecret()).toMatch(/^[0-9a-f]{128}$/)
    expect(newCramSecret()).not.toBe(newCramSecret())
  })
})

describe('its QR code', () => {
  const secret = '0123456789abcdef'.repeat(8)
  const drawn = secretQr('@alice', secret)
  const rows = drawn.split('\n')

  test('fits a terminal of 80 by 40', () => {
    expect(new Set(rows.map((row) => row.length)).size).toBe(1)
    expect(rows[0]?.length).toBeLessThanOrEqual(80)
    expect(rows.length).toBeLessThanOrEqual(40)
    expect(drawn).toMatch(/^[█▀▄ \n]+$/)
  })

  test('holds the text that SDK apps scan', () => {
    // Half blocks: the upper and the lower module of a character, a light module where there is ink.
    const light = (column: number, row: number): boolean => {
      const ink = rows[row >> 1]?.[column]
      return ink === '█' || ink === (row % 2 === 0 ? '▀' : '▄')
    }
    const { data, size } = encode(`@alice:${secret}`, { border: 2 })
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) expect(light(column, row)).toBe(!data[row]?.[column])
    }
  })
})
