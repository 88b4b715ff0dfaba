import type { Enrollment } from '../core/enrollment.ts'
import type { Enrollments } from '../core/storage.ts'
import type { Committed } from './committed.ts'
import type { Database } from './database.ts'
import type { Draft } from './draft.ts'
import { moveExpiry } from './expiry-index.ts'
import { tables } from './layout.ts'

/** Stores or replaces an enrollment. */
export function putEnrollment(draft: Draft, enrollment: Enrollment): void {
  const before = draft.tryGet(tables.enrollments, enrollment.id)
  draft.put(tables.enrollments, enrollment.id, enrollment)
  moveExpiry(draft, 'e', enrollment.id, before?.expiresAt, enrollment.expiresAt)
}

/** Removes an enrollment whose time has come. */
export function removeEnrollment(draft: Draft, { id, expiresAt }: Enrollment): void {
  draft.remove(tables.enrollments, id)
  moveExpiry(draft, 'e', id, expiresAt, undefined)
}

/** Reads of committed enrollments. */
export const createEnrollments = (database: Database, committed: Committed): Enrollments => ({
  async get(id) {
    await database.ready()
    return committed.get(tables.enrollments, id)
  },
})
