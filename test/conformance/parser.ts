import { type Piece, readTemplate } from './template.ts'

/** How a reply is compared: byte for byte, as JSON with the same members, or as JSON that has at least these members. */
export type Comparison = 'bytes' | 'json' | 'has'

/** One line of a transcript that does something. `line` counts from 1. */
export type Step =
  | {
      readonly kind: 'send'
      readonly line: number
      readonly who: string
      readonly text: readonly Piece[]
      /** Without a line feed behind it. */
      readonly part: boolean
    }
  | {
      readonly kind: 'expect'
      readonly line: number
      readonly who: string
      readonly compare: Comparison
      readonly text: readonly Piece[]
      /** As it stands in the file. */
      readonly source: string
    }
  /** The prompt behind the next replies; undefined when none is written. */
  | { readonly kind: 'prompt'; readonly line: number; readonly who: string; readonly prompt: string | undefined }
  /** The atServer ends the connection; the client says no more; statistics are not passed over any more. */
  | { readonly kind: 'closes' | 'leaves' | 'statistics'; readonly line: number; readonly who: string }
  | { readonly kind: 'wait'; readonly line: number; readonly ms: number }

/** Exchanges that stand for themselves: connections and remembered values end with it. */
export interface Scene {
  readonly file: string
  readonly line: number
  /** Page and section that it proves, and what. */
  readonly title: string
  /**
   * `fresh`: it counts on an atServer that nothing was written to. `own`: it touches what an owner may need. `small`: on
   * one with little room.
   */
  readonly stage: 'any' | 'own' | 'fresh' | 'small'
  readonly steps: readonly Step[]
}

/** A line that is no part of a transcript. */
export class TranscriptError extends Error {
  constructor(file: string, line: number, problem: string) {
    super(`${file}:${line}: ${problem}`)
    this.name = 'TranscriptError'
  }
}

const heading = /^## (page 0\d, \d[^:]*: \S.*?)(?: \[(fresh|own|small)\])?$/
const exchange = /^([a-z][a-z0-9]*(?:-[a-z0-9]+)?)(>(?:part)?|<(?:json|has)?)(?: (.*))?$/
const state = /^([a-z][a-z0-9]*(?:-[a-z0-9]+)?): (?:(closes|leaves|shows statistics)|no (prompt)|prompt (@\S*))$/
const waiting = /^wait (\d{1,9}) ms$/

const events = { closes: 'closes', leaves: 'leaves', 'shows statistics': 'statistics' } as const
const isEvent = (word: string): word is keyof typeof events => Object.hasOwn(events, word)

const comparisons: Readonly<Record<string, Comparison>> = { '<': 'bytes', '<json': 'json', '<has': 'has' }

function readStep(text: string, line: number): Step | undefined {
  const wait = waiting.exec(text)
  if (wait !== null) return { kind: 'wait', line, ms: Number(wait[1]) }
  const [, whose, event, silent, prompt] = state.exec(text) ?? []
  if (whose !== undefined) {
    if (event !== undefined && isEvent(event)) return { kind: events[event], line, who: whose }
    return { kind: 'prompt', line, who: whose, prompt: silent === undefined ? prompt : undefined }
  }
  const [, who, sign, source = ''] = exchange.exec(text) ?? []
  if (who === undefined || sign === undefined) return undefined
  const compare = comparisons[sign]
  if (compare === undefined) return { kind: 'send', line, who, text: readTemplate(source), part: sign === '>part' }
  return { kind: 'expect', line, who, compare, text: readTemplate(source), source }
}

/**
 * Reads a transcript.
 * @throws TranscriptError that names file and line
 */
export function parseTranscript(file: string, content: string): Scene[] {
  const scenes: (Scene & { steps: Step[] })[] = []
  for (const [index, text] of content.split('\n').entries()) {
    const line = index + 1
    const fail = (problem: string): TranscriptError => new TranscriptError(file, line, problem)
    if (text.startsWith('## ')) {
      const [, title, stage = 'any'] = heading.exec(text) ?? []
      if (title === undefined) throw fail('a heading names page, section and what is shown: ## page 03, 4: update')
      scenes.push({ file, line, title, stage: stage as Scene['stage'], steps: [] })
    } else if (text !== '' && !text.startsWith('#')) {
      if (text.trimEnd() !== text) throw fail('a blank at the end of the line: write {BLANK}')
      const step = readStep(text, line)
      if (step === undefined)
        throw fail(`"${text.slice(0, 40)}" is none of: who> line, who< reply, who: closes, wait 5 ms`)
      const scene = scenes.at(-1)
      if (scene === undefined) throw fail('an exchange stands before the first heading')
      scene.steps.push(step)
    }
  }
  return scenes
}

/** The connections that a scene uses, by their kind: `alice-monitor` is another one of `alice`. */
export const kindOf = (who: string): string => who.replace(/-.*$/, '')

/** Kinds of connections that a world must offer for a scene. */
export const needsOf = ({ steps }: Scene): ReadonlySet<string> =>
  new Set(steps.flatMap((step) => (step.kind === 'wait' ? [] : [kindOf(step.who)])))

/** How many replies are compared. */
export const exchangesOf = (scenes: readonly Scene[]): number =>
  scenes.flatMap(({ steps }) => steps).filter(({ kind }) => kind === 'expect').length

/** Every text of a scene that tells of atSigns. */
const textsOf = ({ steps }: Scene): string[] =>
  steps.flatMap((step) => {
    if (step.kind === 'send' || step.kind === 'expect') {
      return step.text.flatMap((piece) => (piece.kind === 'literal' ? [piece.text] : []))
    }
    return step.kind === 'prompt' ? [step.prompt ?? ''] : []
  })

/**
 * A scene with other atSigns in the place of @alice and @bob.
 * @returns undefined for one that spells them in ways of its own, such as `from:alice`
 */
export function recast(scene: Scene, names: ReadonlyMap<string, string>): Scene | undefined {
  const others = [...names].filter(([role, name]) => role !== name)
  const role = new RegExp(`(?:${[...names.keys()].join('|')})(?![\\w-])`, 'gu')
  const renamed = (text: string): string => text.replaceAll(role, (found) => names.get(found) ?? found)
  const ownSpelling = textsOf(scene).some((text) => {
    const rest = text.replaceAll(role, '').replaceAll('.', '').toLowerCase()
    return others.some(([name]) => rest.includes(name.slice(1)))
  })
  if (ownSpelling) return undefined
  const pieces = (list: readonly Piece[]): Piece[] =>
    list.map((piece) => (piece.kind === 'literal' ? { ...piece, text: renamed(piece.text) } : piece))
  const steps = scene.steps.map((step): Step => {
    if (step.kind === 'send') return { ...step, text: pieces(step.text) }
    if (step.kind === 'expect') return { ...step, text: pieces(step.text), source: renamed(step.source) }
    if (step.kind === 'prompt' && step.prompt !== undefined) return { ...step, prompt: renamed(step.prompt) }
    return step
  })
  return { ...scene, steps }
}
