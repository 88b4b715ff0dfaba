const secretVerbs = /^(cram|pkam|otp|enroll|keys)(?=[: ]|$)/i
const valueVerbs = /^(update|notify|batch)(?=[: ])/i

/**
 * A command line that may go into a log: digests, signatures, passcodes, keys and values are cut out.
 * @param line one command without LF
 */
export function redact(line: string): string {
  const secret = secretVerbs.exec(line)
  if (secret !== null) return `${secret[0]}:…`
  if (valueVerbs.test(line)) {
    const blank = line.indexOf(' ')
    const owner = line.lastIndexOf('@')
    const colon = owner === -1 ? -1 : line.indexOf(':', owner)
    const cut = blank === -1 ? colon : colon === -1 ? blank : Math.min(blank, colon)
    return cut === -1 ? line.slice(0, 200) : `${line.slice(0, Math.min(cut, 200))} …`
  }
  return line.slice(0, 200)
}
