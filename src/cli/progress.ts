import type { Clock } from '../core/clock.ts'
import type { Io } from './io.ts'

/** Shows how far a command is. */
export interface ProgressBar {
  /** @param total in the same unit as `done`; undefined while it is not known */
  show(step: string, done: number, total?: number): void
  /** Wipes the bar, so that what follows starts on a clean line. */
  end(): void
}

const repaintMs = 100
const longestBar = 40

const size = (bytes: number): string => {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1)
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}

/** One line: what is done, a bar where the whole is known, and the bytes. */
export function progressLine(step: string, done: number, total: number | undefined, columns: number): string {
  if (total === undefined || total === 0) return `${step} ${size(done)}`.slice(0, columns - 1)
  const part = Math.min(done / total, 1)
  const words = [`${step} `, ` ${String(Math.floor(part * 100)).padStart(3)} %  ${size(done)}`] as const
  const width = Math.min(longestBar, columns - 1 - words[0].length - words[1].length)
  if (width < 4) return words.join('').slice(0, columns - 1)
  const filled = Math.round(part * width)
  return `${words[0]}${'█'.repeat(filled)}${'░'.repeat(width - filled)}${words[1]}`
}

/** A bar on standard error when that is a terminal, else nothing: logs and scripts are not for bars. */
export function createProgressBar(io: Io, clock: Clock): ProgressBar {
  let painted: number | undefined
  return {
    show(step, done, total) {
      const now = clock.now()
      if (!io.streams.errIsTerminal || (painted !== undefined && Math.abs(now - painted) < repaintMs)) return
      painted = now
      io.err(`\r\u001b[K${progressLine(step, done, total, io.columns())}`)
    },
    end() {
      if (painted !== undefined) io.err('\r\u001b[K')
      painted = undefined
    },
  }
}
