import { randomUUID } from 'node:crypto'
import type { Client } from '../support/client.ts'
import { kindOf, needsOf, type Scene, type Step } from './parser.ts'
import { fillBytes, type Memory, matches, matchesJson } from './template.ts'

/** One connection of a scene, greeted and logged in as its kind says. */
export interface Wire extends Pick<Client, 'write' | 'take' | 'closed' | 'leave'> {
  /** Stands behind replies; undefined for connections that have none. */
  readonly prompt: string | undefined
  /** Stands behind errors where that differs (peers). */
  readonly errorPrompt?: string
}

/** Against what transcripts are replayed. */
export interface World {
  /** Kinds of connections that it can open. */
  readonly kinds: ReadonlySet<string>
  /** @param namespace `{ns}` of the scene */
  open(kind: string, namespace: string): Promise<Wire>
  /** Milliseconds since the epoch as the atServer sees them. */
  now(): number
  wait(ms: number): Promise<void>
  /** Values that transcripts may name, besides `ns`, `utc` and `millis`. */
  readonly values: ReadonlyMap<string, string>
  /** What it can make of a challenge: signatures and digests, by their names in transcripts. */
  readonly makers: ReadonlyMap<string, (challenge: string) => string>
  /** Real time after which a reply that has not come counts as missing. */
  readonly patienceMs: number
}

/** A reply, a prompt or an end that is not the expected one. */
export class Mismatch extends Error {
  constructor(scene: Scene, line: number, expected: string, got: string) {
    super(`${scene.file}:${line}: (${scene.title})\n  expected ${expected}\n  got      ${got}`)
    this.name = 'Mismatch'
  }
}

interface Player {
  readonly scene: Scene
  readonly world: World
  readonly namespace: string
  readonly memory: Memory
  readonly wires: Map<string, Promise<Wire>>
  /** Prompts that a transcript has told. */
  readonly prompts: Map<string, string | undefined>
  /** Connections whose statistics count like any other line. */
  readonly statistics: Set<string>
}

const shown = (text: string): string => JSON.stringify(text)
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function wireOf(who: string, { wires, world, namespace }: Player): Promise<Wire> {
  let wire = wires.get(who)
  if (wire === undefined) {
    wire = world.open(kindOf(who), namespace)
    wires.set(who, wire)
  }
  return wire
}

/** Waits for bytes, but not for ever. */
async function patiently<T>(work: Promise<T>, { world }: Player): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing more within ${world.patienceMs} ms`)), world.patienceMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

const anyPrompt = /^@(?:[^@:\s]+@)?/u
const stats = 'notification: {"id":"-1"'

/** The prompt that has to stand behind a reply. */
function promptFor(who: string, wire: Wire, reply: string, player: Player): string | undefined {
  if (player.prompts.has(who)) return player.prompts.get(who)
  return reply.startsWith('error:') ? (wire.errorPrompt ?? wire.prompt) : wire.prompt
}

type Expectation = Extract<Step, { kind: 'expect' }>

/** The next line; statistics come when they like, so they are passed over unless one is expected. */
async function nextLine(step: Expectation, wire: Wire, player: Player): Promise<string> {
  for (;;) {
    const line = await patiently(wire.take(/^[^\n]*\n/), player)
    const wanted = step.source.includes('statsNotification') || player.statistics.has(step.who)
    if (wanted || !line.startsWith(stats)) return line.slice(0, -1)
  }
}

async function expectReply(step: Expectation, player: Player): Promise<void> {
  const { scene, memory } = player
  const wire = await wireOf(step.who, player)
  const mismatch = (expected: string, got: string): Mismatch => new Mismatch(scene, step.line, expected, got)
  let got = ''
  try {
    if (step.source !== '') got = await nextLine(step, wire, player)
  } catch (error) {
    throw mismatch(step.source, reasonOf(error))
  }
  const same =
    step.compare === 'bytes'
      ? matches(step.text, got, memory)
      : matchesJson(step.text, got, memory, step.compare === 'has')
  if (!same) throw mismatch(step.source, got)
  const prompt = promptFor(step.who, wire, got, player)
  if (prompt === undefined) return
  const behind = await patiently(wire.take(anyPrompt), player).catch(reasonOf)
  if (behind !== prompt) throw mismatch(`the prompt ${prompt} behind ${shown(got)}`, behind)
}

async function expectEnd(step: Step & { who: string }, player: Player): Promise<void> {
  const wire = await wireOf(step.who, player)
  const rest = await patiently(wire.closed, player).catch((error: unknown) => {
    throw new Mismatch(player.scene, step.line, 'the end of the connection', reasonOf(error))
  })
  if (rest !== '') throw new Mismatch(player.scene, step.line, 'the end of the connection', shown(rest))
}

async function send(step: Step & { kind: 'send' }, player: Player): Promise<void> {
  const bytes = fillBytes(step.text, player.memory)
  const wire = await wireOf(step.who, player)
  wire.write(step.part ? bytes : Buffer.concat([bytes, Buffer.from('\n')]))
}

async function play(step: Step, player: Player): Promise<void> {
  if (step.kind === 'send') await send(step, player)
  else if (step.kind === 'expect') await expectReply(step, player)
  else if (step.kind === 'prompt') player.prompts.set(step.who, step.prompt)
  else if (step.kind === 'closes') await expectEnd(step, player)
  else if (step.kind === 'leaves') (await wireOf(step.who, player)).leave()
  else if (step.kind === 'statistics') player.statistics.add(step.who)
  else if (step.kind === 'wait') await player.world.wait(step.ms)
}

/** What came without being expected, once everybody has said goodbye. */
async function leftovers(player: Player): Promise<void> {
  const ended = new Set(player.scene.steps.flatMap((step) => (step.kind === 'closes' ? [step.who] : [])))
  for (const [who, opened] of player.wires) {
    const wire = await opened
    wire.leave()
    if (ended.has(who)) continue
    const came = await patiently(wire.closed, player)
    const rest = player.statistics.has(who) ? came : came.replaceAll(/notification: \{"id":"-1"[^\n]*\n/g, '')
    const last = player.scene.steps.at(-1)?.line ?? player.scene.line
    if (rest !== '') throw new Mismatch(player.scene, last, `nothing more on ${who}`, shown(rest))
  }
}

/** A namespace of its own for every scene and run, so that no atServer has to be fresh. */
const newNamespace = (): string => `n${randomUUID().slice(0, 8)}`

function createMemory(world: World, ns: string): Memory {
  return {
    remembered: new Map(),
    value(name, plus) {
      if (name === 'ns') return ns
      if (name === 'millis') return String(world.now() + plus)
      if (name === 'utc') return new Date(world.now() + plus).toISOString()
      return world.values.get(name)
    },
    make(how, of) {
      const maker = world.makers.get(how)
      if (maker === undefined) throw new Error(`nobody here can make {${how}:…}`)
      return maker(of)
    },
  }
}

const ownValues: ReadonlySet<string> = new Set(['ns', 'utc', 'millis'])

/** What a scene asks for that a world does not offer; empty for one that can be played. */
export function missingFor(scene: Scene, world: World): string[] {
  const kinds = [...needsOf(scene)].filter((kind) => !world.kinds.has(kind))
  const pieces = scene.steps.flatMap((step) => (step.kind === 'send' || step.kind === 'expect' ? step.text : []))
  const named = new Set(
    pieces.flatMap((piece) => (piece.kind === 'slot' && piece.name !== undefined ? [piece.name] : [])),
  )
  const others = pieces.flatMap((piece) => {
    if (piece.kind === 'made') return world.makers.has(piece.how) ? [] : [piece.how]
    if (piece.kind !== 'value' || named.has(piece.name) || ownValues.has(piece.name)) return []
    return world.values.has(piece.name) ? [] : [piece.name]
  })
  return [...new Set([...kinds, ...others])]
}

/**
 * Plays one scene against a world.
 * @throws Mismatch that names file, line, what was expected and what came
 */
export async function playScene(scene: Scene, world: World): Promise<void> {
  const namespace = newNamespace()
  const memory = createMemory(world, namespace)
  const player: Player = {
    ...{ scene, world, namespace, memory },
    ...{ wires: new Map(), prompts: new Map(), statistics: new Set() },
  }
  try {
    for (const step of scene.steps) {
      try {
        await play(step, player)
      } catch (error) {
        if (error instanceof Mismatch) throw error
        throw new Mismatch(scene, step.line, 'to play this line', reasonOf(error))
      }
    }
    await leftovers(player)
  } finally {
    for (const opened of player.wires.values()) {
      await opened.then(
        (wire) => wire.leave(),
        () => {},
      )
    }
  }
}
