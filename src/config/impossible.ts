import type { Finding, Settings } from './schema.ts'

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.')

const refusal = (path: string, message: string): Finding => ({ path: path.split('.'), message })

function impossibleDirectory({ enabled, host, port, redis }: Settings['directory']): Finding[] {
  const findings: Finding[] = []
  // The section named the directory to ask before there was `rootServer`.
  if (!enabled && (host !== '::' || port !== 6_400)) {
    findings.push(
      refusal('directory.enabled', 'expected true; where other atSigns are looked up is rootServer.addresses'),
    )
  }
  if (redis.servers.length > 0 && redis.sentinels.length > 0) {
    findings.push(refusal('directory.redis.servers', 'expected servers or sentinels, not both'))
  }
  for (const [user, file] of [
    ['username', 'passwordFile'],
    ['sentinelUsername', 'sentinelPasswordFile'],
  ] as const) {
    if (redis[user] === undefined || redis[file] !== undefined) continue
    const message = `is missing; expected the file with the password of directory.redis.${user}`
    findings.push(refusal(`directory.redis.${file}`, message))
  }
  return findings
}

const isProxy = (address: string): boolean => address.startsWith('proxy:')

function impossibleProxies({ directory, rootServer }: Pick<Settings, 'directory' | 'rootServer'>): Finding[] {
  const findings: Finding[] = []
  if (directory.forward.some(isProxy)) {
    findings.push(refusal('directory.forward', 'expected the address of a directory; a proxy knows no addresses'))
  }
  if (rootServer.addresses.some(isProxy) && (rootServer.addresses.length > 1 || rootServer.register)) {
    const message = 'expected a proxy alone and rootServer.register false; it is the address of every atServer'
    findings.push(refusal('rootServer.addresses', message))
  }
  return findings
}

/** Combinations of settings that cannot work, found before anything starts. */
export function impossible({ certificates, bridge, directory, rootServer, backup }: Settings): Finding[] {
  const findings: Finding[] = []
  const refuse = (path: string, message: string) => findings.push({ path: path.split('.'), message })
  if (certificates.chain !== undefined && certificates.key === undefined) {
    refuse('certificates.key', 'is missing; expected the private key of certificates.chain')
  }
  if (certificates.key !== undefined && certificates.chain === undefined) {
    refuse('certificates.chain', 'is missing; expected the certificate chain of certificates.key')
  }
  const { host, username, passwordFile } = bridge.broker
  if (username !== undefined && passwordFile === undefined) {
    refuse('bridge.broker.passwordFile', 'is missing; expected the file with the password of bridge.broker.username')
  }
  if (passwordFile !== undefined && username === undefined) {
    refuse('bridge.broker.username', 'is missing; expected the user name of bridge.broker.passwordFile')
  }
  findings.push(...impossibleDirectory(directory), ...impossibleProxies({ directory, rootServer }))
  if (bridge.enabled && !isLoopback(host) && username === undefined) {
    refuse('bridge.broker.host', 'expected 127.0.0.1, ::1 or localhost, unless username and passwordFile are set too')
  }
  if (backup.recipient !== undefined && backup.passphraseFile !== undefined) {
    refuse('backup.passphraseFile', 'expected either backup.recipient or this, not both')
  }
  return findings
}
