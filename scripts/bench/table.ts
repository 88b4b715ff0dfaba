import { readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import type { Sides } from './numbers.ts'

/** One line of the result. */
export interface Row {
  readonly what: string
  readonly measured: string
  readonly limit: string
  /** Measured over limit. */
  readonly ratio: string
  readonly budget: string
  readonly verdict: 'ok' | 'short' | '-'
}

/** The machine and moment that the numbers belong to. */
export const circumstances = () => ({
  date: new Date().toISOString().slice(0, 10),
  cpu: (cpus()[0]?.model ?? 'unknown CPU').trim(),
  cores: cpus().length,
  node: process.version,
  load: Number((loadavg()[0] ?? 0).toFixed(1)),
})

export type Circumstances = ReturnType<typeof circumstances>

export const count = (value: number): string => Math.round(value).toLocaleString('en')

/** A row whose budget is a share of, or a multiple of, what was measured beside it. */
export function ratioRow(
  what: string,
  { ours, beside }: Sides,
  options: { format: (value: number) => string; limit: string; atLeast?: number; atMost?: number },
): Row {
  const { format, atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = options
  const budget = options.atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`
  const row = { what, measured: format(ours), budget }
  if (beside === undefined) return { ...row, limit: `${options.limit}: not installed`, ratio: '-', verdict: '-' }
  const { limit, ratio } = beside
  const kept = ratio >= atLeast && ratio <= atMost
  return {
    ...row,
    limit: `${options.limit} ${format(limit)}`,
    ratio: ratio.toFixed(2),
    verdict: kept ? 'ok' : 'short',
  }
}

/** A row whose budget is a number of its own. */
export function absoluteRow(what: string, value: number, most: number, format: (value: number) => string): Row {
  const budget = `at most ${format(most)}`
  return { what, measured: format(value), limit: '-', ratio: '-', budget, verdict: value <= most ? 'ok' : 'short' }
}

const header = ['what', 'measured', 'limit measured beside it', 'ratio', 'budget', '']

const cells = (row: Row): string[] => [row.what, row.measured, row.limit, row.ratio, row.budget, row.verdict]

/** The result as Markdown, columns aligned. */
export function markdown(rows: readonly Row[], notes: readonly string[], where: Circumstances): string {
  const lines = [header, ...rows.map(cells)]
  const widths = header.map((_, column) => Math.max(3, ...lines.map((line) => (line[column] ?? '').length)))
  const draw = (line: readonly string[]): string =>
    `| ${widths.map((width, column) => (line[column] ?? '').padEnd(width)).join(' | ')} |`
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`
  const { date, cpu, cores, node, load } = where
  return [
    `Measured on ${date}: ${cpu}, ${cores} cores, Node ${node}, load ${load} before the start.`,
    '',
    draw(header),
    rule,
    ...lines.slice(1).map(draw),
    '',
    ...notes.map((note) => `- ${note}`),
  ].join('\n')
}

/** A number out of `/proc/<pid>/<file>`, such as `VmRSS` of `status`. */
export function procNumber(pid: number, file: 'status' | 'io', name: string): number {
  const text = readFileSync(`/proc/${pid}/${file}`, 'utf8')
  const digits = new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text)?.[1]
  if (digits === undefined) throw new Error(`/proc/<pid>/${file} has no ${name}`)
  return Number(digits)
}
