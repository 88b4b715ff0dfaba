import { invalidSyntax } from '../core/errors.ts'
import { quote } from './part.ts'

/** How a parameter's text becomes a value and text again. */
export interface ValueType<T> {
  parse(text: string, name: string): T
  format(value: T): string
}

/** A whole number of at most 15 digits, not below `least`. */
export const integer = (least = 0): ValueType<number> => ({
  parse(text, name) {
    if (!/^(?!-0)-?\d{1,15}$/.test(text) || Number(text) < least) {
      throw invalidSyntax(`${name} takes a whole number from ${least}, not ${quote(text)}`)
    }
    return Number(text)
  },
  format: String,
})

/** Text without colons and blanks that matches a shape. */
export const token = (shape: RegExp = /^[^\s:]+$/): ValueType<string> => ({
  parse(text, name) {
    if (!shape.test(text)) throw invalidSyntax(`${name} does not take ${quote(text)}`)
    return text
  },
  format: (text) => text,
})

/** One of a list of words, in any letter case. */
export const oneOf = <const W extends string>(...words: W[]): ValueType<W> => ({
  parse(text, name) {
    const word = words.find((candidate) => candidate.toLowerCase() === text.toLowerCase())
    if (word === undefined) throw invalidSyntax(`${name} takes ${words.join(', ')}, not ${quote(text)}`)
    return word
  },
  format: (word) => word,
})

/** `true` or `false`. */
export const bool: ValueType<boolean> = {
  parse: (text, name) => oneOf('true', 'false').parse(text, name) === 'true',
  format: String,
}
