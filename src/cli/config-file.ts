import { chmod, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeFileAtomically } from '../crypto/private-file.ts'

/**
 * Writes a configuration that the user of the service can read, whoever writes it and under whatever umask: it names the
 * files of secrets and holds none. A folder that is missing is made, readable likewise.
 */
export async function writeConfigFile(path: string, text: string): Promise<void> {
  const folder = dirname(path)
  if ((await mkdir(folder, { recursive: true })) !== undefined) await chmod(folder, 0o755)
  await writeFileAtomically(path, text, { mode: 0o644, overwrite: true })
  await chmod(path, 0o644)
}
