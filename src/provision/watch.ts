import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'

/** Programs write a chain and its key one after the other; both are there when nothing has changed for this long. */
const quietMs = 1_000

/**
 * Tells when one of some files was written or replaced, once they have been left alone for a second. The folders are
 * watched, because a renewed certificate is a new file or a new link.
 * @returns a function that stops it
 */
export function watchFiles(
  paths: readonly string[],
  { clock, log, onChange }: { clock: Clock; log: Log; onChange: () => void },
): () => void {
  const names = new Set(paths.map((path) => basename(path)))
  const watchers: FSWatcher[] = []
  let cancel = (): void => {}

  const onEvent = (_event: string, name: string | null): void => {
    // Kubernetes exchanges a whole folder through a link whose name begins with two dots.
    if (name !== null && !names.has(name) && !name.startsWith('..')) return
    cancel()
    cancel = clock.after(quietMs, onChange)
  }

  for (const folder of new Set(paths.map((path) => dirname(path)))) {
    try {
      const watcher = watch(folder, { persistent: false }, onEvent)
      watcher.on('error', (error) => log('info', 'a folder is not watched any more', { folder, reason: error.message }))
      watchers.push(watcher)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      log('info', 'a folder cannot be watched; its files are looked at every hour', { folder, reason })
    }
  }
  return () => {
    cancel()
    for (const watcher of watchers) watcher.close()
  }
}
