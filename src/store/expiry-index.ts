import type { Draft } from './draft.ts'
import { type ExpiryKind, expiryKey, tables } from './layout.ts'

/** Keeps the expiry index in step with the thing it points at; undefined stands for no expiry. */
export function moveExpiry(
  draft: Draft,
  kind: ExpiryKind,
  target: string,
  before: number | undefined,
  now: number | undefined,
): void {
  if (before === now) return
  if (before !== undefined) draft.remove(tables.expiry, expiryKey(before, kind, target))
  if (now !== undefined) draft.put(tables.expiry, expiryKey(now, kind, target), 0)
}
