import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatCommand, RespError, type RespValue, respReader } from '../../src/wire/resp.ts'

const read = (text: string): RespValue[] => respReader().push(Buffer.from(text))

describe('answers of Redis', () => {
  it.each([
    ['+OK\r\n', ['OK']],
    [':-7\r\n', [-7]],
    ['$5\r\na\r\nb😀\r\n'.replace('$5', '$8'), ['a\r\nb😀']],
    ['$-1\r\n*-1\r\n', [null, null]],
    ['*3\r\n$1\r\na\r\n:1\r\n*0\r\n+x\r\n', [['a', 1, []], 'x']],
    ['-WRONGTYPE no\r\n', [new RespError('WRONGTYPE no')]],
  ])('%j is read', (text, values) => {
    expect(read(text)).toEqual(values)
  })

  it('are the same however the bytes are cut', () => {
    const bytes = Buffer.from('*2\r\n$6\r\n😀\r\n\r\n:12\r\n-ERR x\r\n+OK\r\n')
    const whole = respReader().push(bytes)
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
        const reader = respReader()
        const places = [0, ...[...cuts].sort((a, b) => a - b), bytes.length]
        const values = places.slice(1).flatMap((to, index) => reader.push(bytes.subarray(places[index], to)))
        expect(values).toEqual(whole)
      }),
    )
  })

  it.each([
    ['HTTP/1.1 400 Bad Request\r\n', 'an answer begins with "H"'],
    ['$x\r\n', '"x" is no length'],
    ['$99999999\r\n', 'is no length'],
    ['$2\r\nabcd\r\n', 'another length'],
    ['*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n', 'too deep'],
  ])('%j is refused', (text, why) => {
    expect(() => read(text)).toThrow(why)
  })

  it('are not held without end', () => {
    const reader = respReader()
    const piece = Buffer.alloc(1_048_576, 'x')
    reader.push(Buffer.from('*1000\r\n$8000000\r\n'))
    expect(() => {
      for (let index = 0; index < 9; index++) reader.push(piece)
    }).toThrow(/larger than|another length/)
  })
})

describe('a command to Redis', () => {
  it('counts bytes, not characters', () => {
    expect(formatCommand(['SET', '😀', 1])).toBe('*3\r\n$3\r\nSET\r\n$4\r\n😀\r\n$1\r\n1\r\n')
  })
})
